// A job with TypeScript and nothing but `fetch`: a price, a submission that can be repeated, a wait for its end.
//
//   METERLINE_URL=http://127.0.0.1:8080 METERLINE_API_KEY=mlk_... node scripts/examples/job.ts acme "a red fox"
//
// Node from 22.18 on runs it as it is; older ones after `tsc`.
import { randomUUID } from "node:crypto";

const url = process.env.METERLINE_URL ?? "http://127.0.0.1:8080";
const key = process.env.METERLINE_API_KEY ?? "";
const terminal = new Set(["succeeded", "failed", "timed_out", "cancelled"]);

interface Problem { type: string; title: string; status: number; detail: string }
interface Quote { quote: string; ceiling_ucr: number }
interface Accepted { job: string; status: "accepted" | "replayed"; hold_ucr: number }
interface Job { job: string; state: string; captured_ucr: number }

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** One request, sent again while the server is away or busy: with its key it happens once. */
async function call<T>(path: string, body?: object, idempotencyKey?: string): Promise<T> {
  const headers: Record<string, string> = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  const init = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) };
  for (let attempt = 0; ; attempt++) {
    const answer = await fetch(url + path, init).catch(() => undefined);
    if (answer?.ok) return (await answer.json()) as T;
    const isBusy = !answer || answer.status === 429 || answer.status === 503;
    if (!isBusy || attempt === 5) {
      if (!answer) throw new Error("the server is away");
      const problem = (await answer.json()) as Problem;
      throw new Error(`${problem.type.split("/").pop()}: ${problem.detail}`);
    }
    const seconds = Number(answer?.headers.get("Retry-After") ?? 0.2 * 2 ** attempt);
    await pause(seconds * 1000);
  }
}

const [account, prompt] = process.argv.slice(2);
const asked = { account, tool: "text-to-image", params: { prompt } };
const quote = await call<Quote>("/v1/quotes", asked);
console.error(`at most ${quote.ceiling_ucr} micro-credits`);

const { job } = await call<Accepted>("/v1/jobs", { account, quote: quote.quote }, `example-${randomUUID()}`);
let ended: Job;
do {
  ended = await call<Job>(`/v1/jobs/${job}?wait=30`);
} while (!terminal.has(ended.state));
console.log(`${job} ${ended.state}: ${ended.captured_ucr} micro-credits charged`);
process.exitCode = ended.state === "succeeded" ? 0 : 1;
