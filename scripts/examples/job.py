#!/usr/bin/env python3
"""A job with Python's standard library: a price, a submission that can be repeated, its events to the end.

METERLINE_URL=http://127.0.0.1:8080 METERLINE_API_KEY=mlk_... scripts/examples/job.py acme "a red fox"
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

URL, KEY = os.environ["METERLINE_URL"], os.environ["METERLINE_API_KEY"]
TERMINAL = {"succeeded", "failed", "timed_out", "cancelled"}


class Refused(Exception):
    """A problem of the server's (RFC 9457). `word` is what programs go by."""

    def __init__(self, problem):
        super().__init__(problem["detail"])
        self.word = problem["type"].rsplit("/", 1)[-1]
        self.problem = problem


def send(path, body=None, headers=None):
    """One request, sent again while the server is away or busy: with its key it happens once."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **(headers or {})}
    data = None if body is None else json.dumps(body).encode()
    for attempt in range(6):
        request = urllib.request.Request(URL + path, data=data, headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            if error.code not in (429, 503) or attempt == 5:
                raise Refused(problem) from None
            time.sleep(float(error.headers.get("Retry-After", 1)))
        except OSError:
            if attempt == 5:
                raise
            time.sleep(0.2 * 2**attempt)


def call(path, body=None, key=None):
    with send(path, body, {"Idempotency-Key": key} if key else None) as answer:
        return json.load(answer)


def events(job):
    """What happens to a job, from its submission to its end; a stream that breaks is gone on with."""
    last = None
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        with send(f"/v1/jobs/{job}/events", headers=headers) as stream:
            if stream.status == 204:
                return
            event = {}
            try:
                for line in stream:
                    name, _, value = line.decode().rstrip("\r\n").partition(":")
                    if name:
                        event[name] = value.removeprefix(" ")
                    elif "data" in event:
                        last = event.get("id", last)
                        yield json.loads(event["data"])
                        if event.get("event") in TERMINAL:
                            return
                        event = {}
            except OSError:
                pass  # gone on with below, behind the last event


def main(account, prompt):
    asked = {"account": account, "tool": "text-to-image", "params": {"prompt": prompt}}
    quote = call("/v1/quotes", asked)
    print(f"at most {quote['ceiling_ucr']} micro-credits", file=sys.stderr)
    # One click, one key: kept by the caller, who may have to repeat it.
    key = f"example-{uuid.uuid4()}"
    job = call("/v1/jobs", {"account": account, "quote": quote["quote"]}, key)["job"]
    for event in events(job):
        print(f"{event.get('at')} {event.get('event')}", file=sys.stderr)
    ended = call(f"/v1/jobs/{job}")
    print(f"{job} {ended['state']}: {ended['captured_ucr']} micro-credits charged")
    return 0 if ended["state"] == "succeeded" else 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:3]))
    except Refused as refused:
        sys.exit(f"{refused.word}: {refused}")
