"""What the flows for Python share. Arguments of each: the server's port and the protocol, 2 or 3.

Time stands still in a flow, unless a step moves it, and what is random is the same in each run. So what a package
writes, and what it returns, depends on the server alone. A flow imports this before its package.
"""

import hashlib
import itertools
import json
import os
import pprint
import random
import sys
import time
import uuid

PORT, PROTOCOL = int(sys.argv[1]), int(sys.argv[2])

# How many seconds a condition may take before the flow gives up on it.
PATIENCE = 20


class Clock:
    """Seconds since 1970, with a fraction that a float cannot have exactly."""

    now = 1_800_000_000.123456

    def advance(self, seconds):
        self.now += seconds


clock = Clock()
time.time = lambda: clock.now
time.time_ns = lambda: int(clock.now * 1_000_000_000)

drawn = itertools.count()


def draw(count):
    """So many bytes, others each time."""
    return hashlib.shake_256(b"%d" % next(drawn)).digest(count)


os.urandom = draw
uuid.uuid1 = uuid.uuid4
random.seed(1)


def failure(call, *arguments, **options):
    """What a call that must fail says."""
    try:
        reply = call(*arguments, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"{reply!r} instead of an error")


def until(what, ask):
    """Asks again and again until the answer is yes."""
    deadline = time.monotonic() + PATIENCE
    while not ask():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} seconds"


def start(*steps):
    """Carries out the steps in turn. After each, prints its name and its result, and waits for a line."""
    for step in steps:
        result = pprint.pformat(step(), width=120)
        print(json.dumps([step.__name__, result]), flush=True)
        assert sys.stdin.readline(), "the driver has ended"
