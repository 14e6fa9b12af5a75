"""Runs packages that live on EVAL, unmodified, against a stock server and against one that the module intercepts.

Both runs of a flow go side by side, a step at a time. After each step its results and all keys must be equal: names,
types, encodings and values, and how long the keys are kept. Of the entries of a stream only the fields are compared,
since an id is the time at which the entry was added; JSON that a script made may have its members in another order
(`table-order` in docs/compatibility.md). How long a key is kept is known as exactly as a step is short. In the end the
script commands must have been answered by the stock server in the one run, and by the module alone in the other. After
the last flow stands which keys the scripts have reached that their calls do not declare; it is held against
tests/packages/undeclared-keys.txt.

Arguments: which flows to run, all of them if none. With `--stock`, both servers are stock ones: this shows whether the
flows repeat themselves.
"""

import collections
import itertools
import json
import pathlib
import subprocess
import sys
import threading

import redis

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

from database import contents, reordered  # noqa: E402
from packaged import Names  # noqa: E402
from server import Server, description  # noqa: E402
from undeclared import REPORT, Findings  # noqa: E402

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
INTERCEPTED = ["intercept", "all", *REPORT]
KILL = "script|kill"
# What this test itself asks the module.
ASKED = {"script|keys", "script|show"}

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

    def collect(self, undeclared, package, names):
        """Notes which undeclared keys scripts have reached."""

        def name_of(digest):
            return names.of(self._reader.execute_command("SHADOW.SCRIPT", "SHOW", digest).decode(errors="replace"))

        undeclared.collect(package, self._reader.execute_command, name_of)

    def count(self, undeclared):
        """Notes how many were counted in all."""
        undeclared.count(self._client.info("everything"))

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answered(self):
        """The script commands that ran, and whether calls of them failed: the server's own ones, and the module's."""
        own, module = {}, {}
        for name, stat in self._client.info("commandstats").items():
            name = name.removeprefix("cmdstat_")
            counts, plain = (module, name[7:]) if name.startswith("shadow.") else (own, name)
            if commands_of_scripts(plain) and plain not in ASKED and stat["calls"]:
                counts[plain] = (stat["calls"], stat["failed_calls"])
        # A KILL while nothing of the module's runs is left to the server, which may have something to end.
        calls, failed = own.get(KILL, (0, 0))
        if module and calls and calls == failed:
            del own[KILL]
            module[KILL] = tuple(map(sum, zip((calls, failed), module.get(KILL, (0, 0)))))
        return own, module


class Comparison:
    """What is the same in two databases.

    Counts what differs for a known reason, by the id of its row in docs/compatibility.md: `table-order`, and
    `stored-encoding` where the stock server keeps the text of a number.
    """

    def __init__(self):
        self.known = collections.Counter()

    def same(self, stock, other):
        """Whether two values are the same."""
        if isinstance(stock, list) and isinstance(other, list):
            return len(stock) == len(other) and all(map(self.same, stock, other))
        if isinstance(stock, bytes) and isinstance(other, bytes) and stock != other and reordered(stock, other):
            self.known["table-order"] += 1
            return True
        return stock == other

    def first_difference(self, stock, other):
        """What differs between two keys, or None. Of two long values, the first item that does."""
        if stock is None or other is None:
            return f"{stock!r} and {other!r}"
        (stock_kind, stock_encoding, stock_kept, stock_value) = stock
        (other_kind, other_encoding, other_kept, other_value) = other
        if (stock_encoding, other_encoding) == (b"embstr", b"int"):
            self.known["stored-encoding"] += 1
        elif stock_encoding != other_encoding:
            return f"{stock!r} and {other!r}"
        if stock_kind != other_kind or not overlap(stock_kept, other_kept):
            return f"{stock!r} and {other!r}"
        if self.same(stock_value, other_value):
            return None
        if isinstance(stock_value, list) and isinstance(other_value, list):
            for at, pair in enumerate(itertools.zip_longest(stock_value, other_value)):
                if not self.same(*pair):
                    return f"[{at}]: {pair[0]!r} and {pair[1]!r}"
        return f"{stock_value!r} and {other_value!r}"

    def differing_keys(self, stock, other):
        for key in sorted(stock.keys() | other.keys()):
            difference = self.first_difference(stock.get(key), other.get(key))
            if difference:
                yield f"key {key!r}: {difference}"


def overlap(stock, other):
    """Whether two keys may be kept for the same time: both for ever, or both until a moment between two."""
    if isinstance(stock, tuple) and isinstance(other, tuple):
        return max(stock[0], other[0]) <= min(stock[1], other[1])
    return stock == other


def differing_lines(stock, other):
    for both in itertools.zip_longest(stock.splitlines(), other.splitlines()):
        if both[0] != both[1]:
            yield f"result: {both[0]!r} and {both[1]!r}"


def go_side_by_side(runs, comparison, look):
    """Returns how many steps there were, how many keys at most, and what differs; nothing is run after a difference.

    After each step calls `look`.
    """
    steps = keys = 0
    while True:
        stock, other = (run.step() for run in runs)
        if stock is None or other is None:
            codes = [run.process.wait() for run in runs]
            return steps, keys, [] if codes == [0, 0] else [f"after {steps} steps: exit codes {codes}"]
        databases = [run.keys() for run in runs]
        look()
        differences = [*differing_lines(stock[1], other[1]), *comparison.differing_keys(*databases)]
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


def compare(name, arguments, intercepted, names, undeclared):
    """Whether a flow does the same on both servers."""
    undeclared.begin()
    words = [name, *arguments.split()]
    with Server() as stock, Server(INTERCEPTED if intercepted else None) as other:
        with Run(stock, words) as first, Run(other, words) as second:
            runs, comparison = [first, second], Comparison()
            watchdog = threading.Timer(PATIENCE, lambda: [run.process.kill() for run in runs])
            watchdog.start()

            def look():
                if intercepted:
                    second.collect(undeclared, package(name), names)

            steps, keys, differences = go_side_by_side(runs, comparison, look)
            watchdog.cancel()
            differences = differences or list(wrongly_answered(runs, intercepted))
            calls = sum(count for count, _ in first.answered()[0].values())
            if intercepted:
                second.count(undeclared)
    passed = not differences and steps > 0
    title = f"{name:24}  RESP{arguments:9}"
    counts = f"{steps:2} steps, {keys:3} keys, {calls:4} calls"
    for what, count in sorted(comparison.known.items()):
        counts += f", {count} {what}"
    print(f"{'ok' if passed else 'FAILED':6}  {title}  {counts}", flush=True)
    for difference in differences:
        print(f"        {difference}", flush=True)
    return passed


def package(name):
    """What a flow is called in the list of undeclared keys."""
    return pathlib.Path(name).stem


def main():
    chosen = [name for name in sys.argv[1:] if name != "--stock"]
    flows = chosen or FLOWS
    intercepted = "--stock" not in sys.argv
    print(description() + ("" if intercepted else ", twice"), flush=True)
    names, undeclared = Names(), Findings()
    results = [compare(name, words, intercepted, names, undeclared) for name in flows for words in FLOWS[name]]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    as_listed = not intercepted or undeclared.finish("clients", [package(name) for name in flows], not chosen)
    return 0 if all(results) and as_listed else 1


if __name__ == "__main__":
    sys.exit(main())
