"""Fills a fresh server with accounts, jobs in several states and a dead letter, for scripts/fuzz-api."""

import json
import os
import urllib.request

URL, KEY = os.environ["METERLINE_URL"], os.environ["METERLINE_API_KEY"]


def call(path, body=None, idempotency_key=None):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


for account, credits in (("acme", 1_000_000), ("broke", 0), ("rich", 5_000_000)):
    call("/v1/accounts", {"account": account})
    if credits:
        grant = {"amount_ucr": credits * 1_000_000, "kind": "purchase", "reason": "fuzz"}
        call(f"/v1/accounts/{account}/grants", grant, f"fund-{account}")

asked = {"account": "acme", "tool": "text-to-image", "params": {"prompt": "a red fox"}}
jobs = [call("/v1/jobs?wait=20", asked)["job"]]
failing = {**asked, "params": {"prompt": "no", "sim": {"fail": "user_input"}}}
jobs.append(call("/v1/jobs?wait=20", failing)["job"])
waiting = {**asked, "delay_ms": 3_600_000}
jobs.extend(call("/v1/jobs", waiting)["job"] for _ in range(20))

keys = [key["key"] for key in call("/v1/keys")["data"]]
other = call("/v1/keys", {"name": "other", "scopes": ["produce"]})["key"]
seeds = {
    "own_key": keys[0],
    "paths": {
        "account": ["acme", "broke", "rich"],
        "job": jobs,
        "tool": ["text-to-image", "image-to-video"],
        "queue": ["image", "video"],
        "key": [other],
        "problem": ["insufficient"],
    },
}
with open(os.environ["SEEDS"], "w", encoding="utf-8") as file:
    json.dump(seeds, file)
