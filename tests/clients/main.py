"""Runs the function API of each client against a stock server and against one that the module intercepts.

The stock server shows that the assertions are right; the other one must not differ from it.
"""

import pathlib
import subprocess
import sys

import redis

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

from server import Server, description  # noqa: E402
from undeclared import REPORT, Findings  # noqa: E402

# The protocols that each client can be told to speak.
CLIENTS = {"redis-py.py": "23", "coredis-py.py": "3", "node-redis.js": "23", "ioredis.js": "23"}
SERVERS = {"stock": None, "intercepted": ["intercept", "yes", *REPORT]}
SUBCOMMANDS = ("load", "list", "delete", "flush", "dump", "restore", "stats", "kill")
TYPED = {"fcall", "fcall_ro", *(f"function|{name}" for name in SUBCOMMANDS)}
# What the module itself asks the server for, whatever clients type, and what it leaves to the server while nothing of
# the module's runs: KILL.
ASKED = {"function|stats", "function|dump", "function|kill"}
# After how many milliseconds a running function lets others in. The servers' own five seconds are long for a test.
THRESHOLD = 100


def commands(client):
    """The commands that ran, refused ones apart."""
    return {name.removeprefix("cmdstat_") for name, stat in client.info("commandstats").items() if stat["calls"]}


def answered_by(client):
    """Whether stock commands or shadow ones have answered what clients typed."""
    ran = commands(client)
    stock, shadow = TYPED & ran, {name for name in TYPED if f"shadow.{name}" in ran}
    if shadow:
        stock -= ASKED
    assert not (stock and shadow), f"both answered: {stock}, {shadow}"
    assert stock == TYPED or shadow == TYPED, f"not all were called: {stock | shadow}"
    return "stock" if stock else "intercepted"


def run(script, protocol, undeclared):
    """Whether the client's script passes. Notes which undeclared keys its functions have reached."""
    passed = True
    for name, module in SERVERS.items():
        with Server(module) as server, redis.Redis(port=server.port) as client:
            client.config_set("busy-reply-threshold", THRESHOLD)
            program = sys.executable if script.endswith(".py") else "node"
            ended = subprocess.run([program, HERE / script, str(server.port), protocol], timeout=60)
            good = ended.returncode == 0 and answered_by(client) == name
            if module:
                undeclared.look(script, server.port)
            print(f"{'ok' if good else 'FAILED':6}  {script:13}  RESP{protocol}  {name}", flush=True)
            passed = passed and good
    return passed


def main():
    print(description(), flush=True)
    undeclared = Findings()
    results = [run(script, protocol, undeclared) for script, protocols in CLIENTS.items() for protocol in protocols]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    as_listed = undeclared.finish("clients", CLIENTS, False)
    return 0 if all(results) and as_listed else 1


if __name__ == "__main__":
    sys.exit(main())
