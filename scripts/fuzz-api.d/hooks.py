"""What Schemathesis cannot know: ids that are there, and what would end the run:
revoking its own key, draining the only worker."""

import json
import os
import random

import schemathesis

# Written by seed.py: accounts, jobs, tools that are there.
with open(os.environ["SEEDS"], encoding="utf-8") as file:
    SEEDS = json.load(file)


def whole(value):
    """JSON Schema calls 7.0 an integer; here an integer is written as one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    """Half of the time a path names something that is there, so that more than 404 is seen."""
    if case.meta is None or case.meta.generation.mode.is_positive:
        case.body = whole(case.body)
        if isinstance(case.body, dict) and "tool" in case.body and random.random() < 0.5:
            # A tool that is there, so that more than its absence is tried.
            params = {"prompt": "a red fox", "count": random.randint(0, 5)}
            case.body.update(account="acme", tool="text-to-image", params=params)
            for name in ("route", "quote"):
                case.body.pop(name, None)
        # A cursor is a text of the server's own.
        (case.query or {}).pop("cursor", None)
    parameters = case.path_parameters or {}
    for name, known in SEEDS["paths"].items():
        if name in parameters and known and random.random() < 0.5:
            parameters[name] = random.choice(known)
    if parameters.get("key") == SEEDS["own_key"]:
        parameters["key"] = "k0"
    if "worker" in parameters:
        parameters["worker"] = "nobody"
