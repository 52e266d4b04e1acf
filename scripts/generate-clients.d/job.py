"""One job through the generated Python client, as it is: a price, a submission, a repetition, its end."""

import os

from meterline_client import AuthenticatedClient
from meterline_client.api.accounts import create_account, get_account, grant_credits, list_ledger
from meterline_client.api.jobs import create_quote, explain_job, get_job, list_jobs, submit_job
from meterline_client.models import (
    Accepted,
    Account,
    Explanation,
    GrantBody,
    Granted,
    Job,
    JobRequest,
    JobRequestParams,
    NewAccount,
    PageEntry,
    PageJob,
    ProblemBody,
    Quote,
    QuoteRequest,
    QuoteRequestParams,
)

client = AuthenticatedClient(base_url=os.environ["METERLINE_URL"], token=os.environ["METERLINE_API_KEY"])

account = create_account.sync(client=client, body=NewAccount(account="py"))
assert isinstance(account, Account), account
grant = GrantBody(amount_ucr=20_000_000, kind="purchase", reason="generated")
granted = grant_credits.sync("py", client=client, body=grant, idempotency_key="py-1")
assert isinstance(granted, Granted) and granted.available_ucr == 20_000_000, granted

prompt = {"prompt": "a red fox"}
asked = QuoteRequest(tool="text-to-image", account="py", params=QuoteRequestParams.from_dict(prompt))
quote = create_quote.sync(client=client, body=asked)
assert isinstance(quote, Quote) and quote.ceiling_ucr == 7_000_000, quote

wanted = JobRequest(account="py", quote=quote.quote)
first = submit_job.sync(client=client, body=wanted, idempotency_key="click-1", wait=20)
assert isinstance(first, Accepted) and first.status == "accepted", first
assert isinstance(first.result, Job) and first.result.state == "succeeded", first
again = submit_job.sync(client=client, body=wanted, idempotency_key="click-1")
assert isinstance(again, Accepted) and again.job == first.job and again.status == "replayed", again

job = get_job.sync(first.job, client=client)
assert isinstance(job, Job) and job.captured_ucr == 7_000_000 and job.outputs[0].kind == "image", job
explained = explain_job.sync(first.job, client=client)
assert isinstance(explained, Explanation) and explained.slices[0].captured_ucr == 7_000_000, explained
listed = list_jobs.sync(client=client, account="py", state="succeeded", limit=10)
assert isinstance(listed, PageJob) and [one.job for one in listed.data] == [first.job], listed
entries = list_ledger.sync("py", client=client)
assert isinstance(entries, PageEntry) and entries.data[0].kind == "settle", entries

too_much = JobRequest(
    account="py", tool="text-to-image", params=JobRequestParams.from_dict({"prompt": "x", "count": 3})
)
refused = submit_job.sync_detailed(client=client, body=too_much)
assert refused.status_code == 402 and isinstance(refused.parsed, ProblemBody), refused
assert refused.parsed.type_.endswith("/insufficient"), refused
assert refused.parsed.additional_properties["need_ucr"] == 21_000_000, refused
final = get_account.sync("py", client=client)
assert isinstance(final, Account) and final.available_ucr == 13_000_000, final
print(f"python: {first.job} succeeded, {job.captured_ucr} micro-credits")
