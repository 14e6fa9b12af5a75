"""Runs packages that live on EVAL, unmodified, against a stock server and against one that the module intercepts.

Both runs of a flow go side by side, a step at a time. After each step its results and all keys must be equal: names,
types, encodings and values, and how long the keys are kept. Of the entries of a stream only the fields are compared,
since an id is the time at which the entry was added; of the time that a key is kept, what the server's clock tells: the
clock of the packages stands still. In the end the script commands must have been answered by the stock server in the
one run, and by the module alone in the other.

Arguments: which flows to run, all of them if none. With `--stock`, both servers are stock ones: this shows whether the
flows repeat themselves.
"""

import itertools
import json
import pathlib
import subprocess
import sys
import threading

import redis

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

from database import contents  # noqa: E402
from server import Server, description  # noqa: E402

# What each flow is told: the protocols, and for BullMQ the client.
FLOWS = {
    "ioredis.js": ["2", "3"],
    "node-redis.js": ["2", "3"],
    "redis-py.py": ["2", "3"],
    "bullmq.js": ["2 ioredis", "3 ioredis", "2 redis", "3 redis"],
    "redlock.js": ["2", "3"],
    "rate-limiter-flexible.js": ["2", "3"],
    "limits-py.py": ["2", "3"],
    "walrus-py.py": ["2", "3"],
    "dramatiq-py.py": ["2", "3"],
}
INTERCEPTED = ["intercept", "all"]

# How many seconds a flow may take in all before the test gives up on it.
PATIENCE = 120
# After how many milliseconds a running script lets others in. The servers' own five seconds are long for a test.
THRESHOLD = 100


def commands_of_scripts(name):
    """Whether a command of COMMANDSTATS is about scripts."""
    return name in ("eval", "evalsha", "eval_ro", "evalsha_ro") or name.startswith("script|")


class Run:
    """A flow on its way, on a server of its own."""

    def __init__(self, server, words):
        self._client = redis.Redis(port=server.port, protocol=2)
        self._client.config_set("busy-reply-threshold", THRESHOLD)
        # Replies as the protocol has them, not as the client would present them.
        self._reader = redis.Redis(port=server.port, protocol=2)
        self._reader.response_callbacks.clear()
        self._kept = {}
        self._began = self._now()
        program = [sys.executable, "-B"] if words[0].endswith(".py") else ["node"]
        self.process = subprocess.Popen(
            [*program, HERE / "flows" / words[0], str(server.port), *words[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self._client.close()
        self._reader.close()

    def _now(self):
        """Milliseconds since 1970."""
        seconds, microseconds = self._client.time()
        return seconds * 1000 + microseconds // 1000

    def step(self):
        """The name and the result of the step that has come to its end, or None after the last one."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def keys(self):
        """Every key: its type, its encoding, between which times in milliseconds it was to expire, and its value.

        It was written at some time within the step, hence two times. They stay as long as the key expires at the same
        moment.
        """
        database, ended = contents(self._reader), self._now()
        kept = {}
        for key, (_, _, expires, _) in database.items():
            if expires >= 0:
                before = self._kept.get(key)
                # One for the fraction of a millisecond.
                fresh = (expires, expires - ended - 1, expires - self._began + 1)
                kept[key] = before if before and before[0] == expires else fresh
                database[key][2] = kept[key][1:]
        self._kept, self._began = kept, ended
        return database

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answered(self):
        """The script commands that ran, and whether calls of them failed: the server's own ones, and the module's."""
        own, module = {}, {}
        for name, stat in self._client.info("commandstats").items():
            name = name.removeprefix("cmdstat_")
            counts, plain = (module, name[7:]) if name.startswith("shadow.") else (own, name)
            if commands_of_scripts(plain) and stat["calls"]:
                counts[plain] = (stat["calls"], stat["failed_calls"])
        return own, module


def alike(stock, other):
    """Whether two keys are the same."""
    if stock is None or other is None:
        return False
    if isinstance(stock[2], tuple) and isinstance(other[2], tuple):
        same = max(stock[2][0], other[2][0]) <= min(stock[2][1], other[2][1])
    else:
        same = stock[2] == other[2]
    return same and (stock[:2], stock[3]) == (other[:2], other[3])


def shown(both):
    """Two keys, or of two long ones what differs first."""
    if None not in both and isinstance(both[0][3], list) and isinstance(both[1][3], list):
        values = list(itertools.zip_longest(both[0][3], both[1][3]))
        at = next((at for at, pair in enumerate(values) if pair[0] != pair[1]), None)
        if at is not None:
            return f"[{at}]: {values[at][0]!r} and {values[at][1]!r}"
    return f"{both[0]!r} and {both[1]!r}"


def differing_keys(stock, other):
    for key in sorted(stock.keys() | other.keys()):
        both = stock.get(key), other.get(key)
        if not alike(*both):
            yield f"key {key!r}: {shown(both)}"


def differing_lines(stock, other):
    for both in itertools.zip_longest(stock.splitlines(), other.splitlines()):
        if both[0] != both[1]:
            yield f"result: {both[0]!r} and {both[1]!r}"


def go_side_by_side(runs):
    """Returns how many steps there were, how many keys at most, and what differs; nothing is run after a difference."""
    steps = keys = 0
    while True:
        stock, other = (run.step() for run in runs)
        if stock is None or other is None:
            codes = [run.process.wait() for run in runs]
            return steps, keys, [] if codes == [0, 0] else [f"after {steps} steps: exit codes {codes}"]
        databases = [run.keys() for run in runs]
        differences = [*differing_lines(stock[1], other[1]), *differing_keys(*databases)]
        if differences or stock[0] != other[0]:
            return steps, keys, [f"step {stock[0]!r}: {difference}" for difference in differences or ["another step"]]
        steps, keys = steps + 1, max(keys, len(databases[0]))
        for run in runs:
            run.go_on()


def wrongly_answered(runs, intercepted):
    """What is wrong with who answered the script commands."""
    (own, none), (other_own, other_module) = (run.answered() for run in runs)
    idle, busy = (other_own, other_module) if intercepted else (other_module, other_own)
    if none or not own:
        yield f"the stock server answered {own}, a module {none}"
    if idle:
        yield f"{'the stock server' if intercepted else 'a module'} answered {idle} as well as {busy}"
    # How often a package asks may depend on when it asks; what it asks for does not, nor what fails.
    kinds = [{name: failed > 0 for name, (_, failed) in counts.items()} for counts in (own, busy)]
    if kinds[0] != kinds[1]:
        yield f"calls and failed ones differ: {own} and {busy}"


def compare(name, arguments, intercepted):
    """Whether a flow does the same on both servers."""
    words = [name, *arguments.split()]
    with Server() as stock, Server(INTERCEPTED if intercepted else None) as other:
        with Run(stock, words) as first, Run(other, words) as second:
            runs = [first, second]
            watchdog = threading.Timer(PATIENCE, lambda: [run.process.kill() for run in runs])
            watchdog.start()
            steps, keys, differences = go_side_by_side(runs)
            watchdog.cancel()
            differences = differences or list(wrongly_answered(runs, intercepted))
            calls = sum(count for count, _ in first.answered()[0].values())
    passed = not differences and steps > 0
    title = f"{name:24}  RESP{arguments:9}"
    print(f"{'ok' if passed else 'FAILED':6}  {title}  {steps:2} steps, {keys:3} keys, {calls:4} calls", flush=True)
    for difference in differences:
        print(f"        {difference}", flush=True)
    return passed


def main():
    names = [name for name in sys.argv[1:] if name != "--stock"] or FLOWS
    intercepted = "--stock" not in sys.argv
    print(description() + ("" if intercepted else ", twice"), flush=True)
    results = [compare(name, arguments, intercepted) for name in names for arguments in FLOWS[name]]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
