#!/usr/bin/env python3
"""A plugin: counts what was fetched in 24 hours and refuses further fetches above a quota.

Put it at hooks.d/plugins.d/30-quota. p2pd starts it once and speaks JSON-RPC 2.0 with it, one object a line: requests come
on standard input, answers go to standard output, and what is printed on standard error goes to p2pd's log.
"""

import json
import sys
import time

QUOTA = 500 * 2**30  # bytes
DAY = 24 * 3600
fetched = []  # (when, bytes)


def manifest(_params):
    return {"name": "quota", "api": 1, "events": ["item.finished"], "gates": ["pre-add"]}


def init(params):
    print("quota plugin of", params["daemon"]["server"], file=sys.stderr, flush=True)
    return {}


def event(params):
    item = params["item"]
    if params["event"] == "item.finished" and item is not None:
        fetched.append((time.time(), item["size"]))


def pre_add(params):
    while fetched and fetched[0][0] < time.time() - DAY:
        fetched.pop(0)
    used = sum(size for _when, size in fetched)
    if used + params["item"]["size"] <= QUOTA:
        return {"allow": True}
    return {"allow": False, "reason": f"{used >> 30} GiB of {QUOTA >> 30} were fetched today"}


METHODS = {
    "plugin.manifest": manifest,
    "plugin.init": init,
    "event": event,
    "gate.pre-add": pre_add,
}

for line in sys.stdin:
    call = json.loads(line)
    method = METHODS.get(call["method"])
    answer = {"jsonrpc": "2.0", "id": call.get("id")}
    if method is None:
        answer["error"] = {"code": -32601, "message": "there is no such method"}
    else:
        answer["result"] = method(call["params"])
    if "id" in call:  # An event wants no answer.
        print(json.dumps(answer), flush=True)
