"""Loads the Lua of real packages as functions, into the server's own registry and into the shadow one, and compares.

First every script must compile in both or in neither. Then the packages are put to ordinary use against a server
without the module, and what they sent there is sent again, with every script called as a function: by FCALL in database
0 and by SHADOW.FCALL in database 1. After each command the replies and all keys must be equal. In the end stands which
keys the scripts have reached that their calls do not declare; it is held against tests/packages/undeclared-keys.txt.
Arguments: which of the recordings to make, all of them if none.
"""

import collections
import hashlib
import pathlib
import re
import subprocess
import sys

import redis

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

from database import contents, reordered  # noqa: E402
from packaged import Names, all_scripts, without_comments  # noqa: E402
from recording import Recording  # noqa: E402
from server import Server, description  # noqa: E402
from undeclared import REPORT, Findings  # noqa: E402

LIBRARIES = ["bit", "cjson", "cmsgpack", "struct"]

PYTHON = ["limits", "throttled", "walrus", "redis_locks", "rq", "huey", "pyrate_limiter", "alike"]
NODE = ["bull", "bullmq", "rateLimiterFlexible", "redlock"]

# So many scripts there are at least, and calls of them in the recordings.
LEAST_SCRIPTS, LEAST_CALLS = 120, 250

# What clients send for themselves, or what would wait.
LEFT_OUT = set(b"AUTH CLIENT DISCARD EXEC HELLO INFO MULTI PING PUBLISH QUIT SELECT SUBSCRIBE WATCH".split())
WITHOUT_WAITING = {b"BRPOPLPUSH": b"RPOPLPUSH", b"BZPOPMIN": b"ZPOPMIN", b"BLMOVE": b"LMOVE"}

# A clock that is read twice, a moment apart: milliseconds in whole numbers, seconds in fractions.
MILLISECONDS, SECONDS = 50, 0.05

# A key may expire while the one database has been read and the other one has not.
READINGS = 5


def needs(code):
    """The libraries of the environment that a script uses."""
    return {name for name in LIBRARIES if re.search(rf"\b{name}\.", without_comments(code))}


class Script:
    """A script as the only function of a library; both have the same name. It begins in the library's third line."""

    FIRST_LINE = 3

    def __init__(self, code, label=None):
        self.name = "s_" + hashlib.sha1(code).hexdigest()
        self.label = label or self.name
        self.library = b"#!lua name=%s\nredis.register_function('%s', function(KEYS, ARGV)\n%s\nend)" % (
            self.name.encode(),
            self.name.encode(),
            code,
        )
        self.code = code.decode(errors="replace")
        self.needs = needs(self.code)

    def load(self, server, command):
        """The error of loading it, or None."""
        try:
            server.send(command, "LOAD", "REPLACE", self.library)
        except redis.ResponseError as error:
            return str(error)
        return None


class Connections:
    """Connections to a server: one that sends, and one that reads in each of the two databases."""

    def __init__(self, port):
        self.clients = [redis.Redis(port=port, protocol=2, db=database) for database in (0, 0, 1)]
        self.client, *self.readers = self.clients
        for client in self.clients:
            # Replies as the protocol has them, not as the client would present them.
            client.response_callbacks.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()

    def send(self, *words):
        return self.client.execute_command(*words)

    def send_to_both(self, stock, shadow):
        """The replies to one command in database 0 and to the other in database 1, with nothing in between."""
        with self.client.pipeline(transaction=True) as pipeline:
            for database, words in enumerate((stock, shadow)):
                pipeline.execute_command("SELECT", database)
                pipeline.execute_command(*words)
            pipeline.execute_command("SELECT", 0)
            return pipeline.execute(raise_on_error=False)[1:4:2]


# --- Compiling ---------------------------------------------------------------


def compile_all(server):
    """Loads every script in both. Returns how many there were and what differed."""
    found = all_scripts()
    differences, refused, packages = [], 0, collections.Counter()
    for label, code in found.items():
        script = Script(code.encode(), label)
        stock, shadow = script.load(server, "FUNCTION"), script.load(server, "SHADOW.FUNCTION")
        if (stock is None) != (shadow is None):
            differences.append(f"{label}: stock says {stock or 'OK'}, shadow {shadow or 'OK'}")
        refused += stock is not None
        packages[label.split("/")[0]] += 1
    listed = ", ".join(f"{package} {count}" for package, count in sorted(packages.items()))
    print(f"compiled {len(found)} scripts, {refused} of them refused by both ({listed})", flush=True)
    if len(found) < LEAST_SCRIPTS:
        differences.append(f"only {len(found)} scripts were found")
    return differences


# --- Recording ---------------------------------------------------------------


def record(name):
    """What a package sends to a stock server."""
    program = [sys.executable, HERE / "traffic.py"] if name in PYTHON else ["node", HERE / "traffic.js"]
    with Server() as server:
        recording = Recording(server.port)
        subprocess.run([*program, name, str(server.port)], check=True, timeout=60)
        return recording.stop()


def replayable(commands):
    """The scripts in a recording by their digests, and its commands without what only concerns a connection."""
    known, kept = {}, []
    for words in commands:
        verb = words[0].upper()
        if verb == b"SCRIPT" and words[1].upper() == b"LOAD":
            known.setdefault(hashlib.sha1(words[2]).hexdigest().encode(), Script(words[2]))
        elif verb in (b"EVAL", b"EVALSHA"):
            digest = words[1].lower()
            if verb == b"EVAL":
                digest = hashlib.sha1(words[1]).hexdigest().encode()
                known.setdefault(digest, Script(words[1]))
            kept.append((digest, words[2:]))
        elif verb in WITHOUT_WAITING:
            # The last word is how long to wait.
            kept.append((None, [WITHOUT_WAITING[verb], *words[1:-1]]))
        elif verb not in LEFT_OUT and verb != b"SCRIPT":
            kept.append((None, words))
    return known, kept


# --- Comparing ---------------------------------------------------------------


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


class Comparison:
    """What is the same in two replies or two databases, but for a clock that went on between them.

    Counts what differs for a known reason, by the id of its row in docs/compatibility.md: `table-order`.
    """

    def __init__(self):
        self.known = collections.Counter()

    def alike(self, stock, shadow):
        if isinstance(stock, redis.RedisError) and isinstance(shadow, redis.RedisError):
            return str(stock) == str(shadow)
        if isinstance(stock, list) and isinstance(shadow, list):
            return len(stock) == len(shadow) and all(map(self.alike, stock, shadow))
        if type(stock) is type(shadow) and stock == shadow:
            return True
        if isinstance(stock, int) and isinstance(shadow, int):
            return min(stock, shadow) >= 1000 and abs(stock - shadow) <= MILLISECONDS
        if isinstance(stock, bytes) and isinstance(shadow, bytes):
            if reordered(stock, shadow):
                self.known["table-order"] += 1
                return True
            numbers = number(stock), number(shadow)
            return None not in numbers and b"." in stock + shadow and abs(numbers[0] - numbers[1]) <= SECONDS
        return False

    def databases(self, server):
        """The keys that differ between database 0 and database 1."""
        for _ in range(READINGS):
            both = [contents(reader) for reader in server.readers]
            for database in both:
                for key in database.values():
                    # Both are written one after the other, so their keys never expire at the same time.
                    key[2] = "expires" if key[2] >= 0 else "stays"
            differences = []
            for key in sorted(both[0].keys() | both[1].keys()):
                stock, shadow = (database.get(key) for database in both)
                if not self.alike(stock, shadow):
                    differences.append(f"key {key!r}: {stock!r} and {shadow!r}")
            if not differences:
                break
        return differences


def compare(server, comparison, function, words):
    """Sends a command to both databases. Returns what differs, and the reply in the first one."""
    if function is None:
        stock, shadow = server.send_to_both(words, words)
    else:
        stock, shadow = server.send_to_both(["FCALL", function, *words], ["SHADOW.FCALL", function, *words])
    differences = [] if comparison.alike(stock, shadow) else [f"replies {stock!r} and {shadow!r}"]
    return differences + comparison.databases(server), stock


def replay(server, name, commands, names, undeclared):
    """Returns how many calls were compared, and what differed."""
    known, kept = replayable(commands)
    differences = []
    server.send("FLUSHALL")
    for script in known.values():
        for command in ("FUNCTION", "SHADOW.FUNCTION"):
            if error := script.load(server, command):
                differences.append(f"{name}: {command} LOAD: {error}")
    comparison = Comparison()
    functions = {script.name: names.of(script.code) for script in known.values()}
    calls = failed = 0
    for digest, words in kept:
        function = known[digest].name if digest else None
        found, reply = compare(server, comparison, function, words)
        if function is not None:
            calls += 1
            undeclared.collect(name, server.send, functions.get, Script.FIRST_LINE)
        failed += isinstance(reply, redis.RedisError)
        if found:
            # What comes after it would differ for this reason.
            differences += [f"{name}: {function or ''} {words!r}: {difference}" for difference in found]
            break
    used = sorted(set().union(*(script.needs for script in known.values())))
    text = f"{name}: {len(known)} scripts" + (f" with {', '.join(used)}" if used else "") + f", {calls} calls compared"
    if failed:
        text += f", {failed} of them errors in both"
    for what, count in sorted(comparison.known.items()):
        text += f", {count} {what}"
    print(text, flush=True)
    return calls, differences


def main():
    recordings = {name: record(name) for name in sys.argv[1:] or [*PYTHON, *NODE]}
    undeclared = Findings()
    with Server(module=REPORT) as process, Connections(process.port) as server:
        print(description(), flush=True)
        differences = compile_all(server)
        calls, names = 0, Names()
        for name, commands in recordings.items():
            count, found = replay(server, name, commands, names, undeclared)
            calls += count
            differences += found
        undeclared.count(redis.Redis(port=process.port).info("everything"))
    everything = len(sys.argv) == 1
    as_listed = undeclared.finish("realcode", recordings, everything)
    if everything and calls < LEAST_CALLS:
        differences.append(f"only {calls} calls were recorded")
    for difference in differences:
        print(f"DIFFERENT  {difference}")
    print(f"{calls} calls, {len(differences)} differences")
    return 1 if differences or not as_listed else 0


if __name__ == "__main__":
    sys.exit(main())
