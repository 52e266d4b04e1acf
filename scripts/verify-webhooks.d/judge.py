"""Judges kept requests with PyPI's standardwebhooks. Arguments: folder, first secret, second secret."""

import base64
import json
import pathlib
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

folder, first, second = sys.argv[1:]
stranger = "whsec_" + base64.b64encode(b"x" * 32).decode()


def takes(secret, headers, body):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


paths = sorted(pathlib.Path(folder).glob("*.json"), key=lambda path: int(path.stem))
for path in paths:
    got = json.loads(path.read_text())
    headers, body = got["headers"], got["body"]
    rotated = path == paths[-1]
    old = dict(headers, **{"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 3600)})
    expected = {
        "the first secret": (takes(first, headers, body), True),
        "the second secret": (takes(second, headers, body), rotated),
        "a stranger's secret": (takes(stranger, headers, body), False),
        "a changed body": (takes(first, headers, body + " "), False),
        "an old time": (takes(first, old, body), False),
    }
    for what, (is_taken, should_be) in expected.items():
        if is_taken != should_be:
            sys.exit(f"python: {path.name} with {what}: taken = {is_taken}\n{got}")
print(f"python: {len(paths)} messages, each taken with its secrets and with nothing else")
