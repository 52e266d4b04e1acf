#!/usr/bin/env python3
"""Verifies a webhook message (Standard Webhooks) with Python's standard library.

scripts/examples/webhook.py whsec_... BODY-FILE ID TIMESTAMP SIGNATURE

ID, TIMESTAMP and SIGNATURE are the headers webhook-id, webhook-timestamp and webhook-signature. Verify the
body's bytes as they came, before anything parses them.
"""

import base64
import hashlib
import hmac
import sys
import time

TOLERANCE_S = 300


def verify(secret, body, message_id, timestamp, signatures, now=None):
    """Whether the message is ours and new. Answer what you have seen before (`message_id`) with 200 too."""
    if abs((now or time.time()) - int(timestamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # While a secret is rotated there are two signatures.
    given = [one.partition(",") for one in signatures.split(" ")]
    return any(version == "v1" and hmac.compare_digest(one, expected) for version, _, one in given)


if __name__ == "__main__":
    secret, path, *headers = sys.argv[1:]
    with open(path, "rb") as file:
        ours = verify(secret, file.read(), *headers)
    print("ours" if ours else "not ours")
    sys.exit(0 if ours else 1)
