// One job through the generated TypeScript types with openapi-fetch: a price, a submission, a repetition, its end.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./meterline.js";

type Job = components["schemas"]["Job"];

const api = createClient<paths>({
  baseUrl: process.env.METERLINE_URL ?? "",
  headers: { Authorization: `Bearer ${process.env.METERLINE_API_KEY}` },
});
const once = (key: string) => ({ "Idempotency-Key": key });

const account = await api.POST("/v1/accounts", { body: { account: "ts" } });
assert.equal(account.data?.available_ucr, 0);
const granted = await api.POST("/v1/accounts/{account}/grants", {
  params: { path: { account: "ts" }, header: once("ts-1") },
  body: { amount_ucr: 20_000_000, kind: "purchase", reason: "generated" },
});
assert.equal(granted.data?.available_ucr, 20_000_000);

const quote = await api.POST("/v1/quotes", {
  body: { account: "ts", tool: "text-to-image", params: { prompt: "a red fox" } },
});
assert.equal(quote.data?.ceiling_ucr, 7_000_000);

const wanted = { account: "ts", quote: quote.data.quote };
const params = { header: once("click-1"), query: { wait: 20 } };
const first = await api.POST("/v1/jobs", { params, body: wanted });
const ended: Job | null | undefined = first.data?.result;
assert.equal(ended?.state, "succeeded");
const again = await api.POST("/v1/jobs", { params: { header: once("click-1") }, body: wanted });
assert.equal(again.data?.status, "replayed");
assert.equal(again.response.headers.get("Idempotent-Replayed"), "true");

const job = first.data!.job;
const explained = await api.GET("/v1/jobs/{job}/explain", { params: { path: { job } } });
assert.equal(explained.data?.slices[0]?.captured_ucr, 7_000_000);
const listed = await api.GET("/v1/jobs", { params: { query: { account: "ts", limit: 10 } } });
assert.deepEqual(listed.data?.data.map((one) => one.job), [job]);

const refused = await api.POST("/v1/jobs", {
  body: { account: "ts", tool: "text-to-image", params: { prompt: "x", count: 3 } },
});
assert.equal(refused.response.status, 402);
assert.match(refused.error?.type ?? "", /\/insufficient$/);
assert.equal(refused.error?.need_ucr, 21_000_000);
console.log(`typescript: ${job} succeeded, ${ended?.captured_ucr} micro-credits`);
