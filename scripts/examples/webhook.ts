// Verifies a webhook message (Standard Webhooks) with Node's own crypto.
//
//   node scripts/examples/webhook.ts whsec_... BODY-FILE ID TIMESTAMP SIGNATURE
//
// ID, TIMESTAMP and SIGNATURE are the headers webhook-id, webhook-timestamp and webhook-signature. Verify the
// body's bytes as they came, before anything parses them.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const toleranceS = 300;

/** Whether the message is ours and new. Answer what you have seen before (`id`) with 200 too. */
export function verify(secret: string, body: Buffer, id: string, timestamp: string, signatures: string): boolean {
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= toleranceS)) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // While a secret is rotated there are two signatures.
  return signatures.split(" ").some((one) => {
    const [version, text] = one.split(",");
    const given = Buffer.from(text ?? "", "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

const [secret = "", path = "", id = "", timestamp = "", signature = ""] = process.argv.slice(2);
const ours = verify(secret, readFileSync(path), id, timestamp, signature);
console.log(ours ? "ours" : "not ours");
process.exitCode = ours ? 0 : 1;
