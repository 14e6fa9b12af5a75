"""What the script helpers of redis-py and ioredis have sent once is known after a failover: `shadow.keep-scripts yes`.

The helpers run on a master, then on the replica that takes its place. There, none of their calls may be answered by
NOSCRIPT; with the setting off, those of redis-py are, which is the test of this test.
"""

import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

import redis  # noqa: E402
from server import PATIENCE, Server, description  # noqa: E402
from undeclared import REPORT, Findings  # noqa: E402

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"

IOREDIS = """
const { Redis } = require('ioredis');
const client = new Redis({ port: Number(process.argv[1]) });
client.defineCommand('add', { numberOfKeys: 1, lua: process.argv[2] });
const run = async () => [await client.add('ioredis', 3), await client.add('ioredis', 4)];
run().then((sums) => console.log(sums.join())).finally(() => client.quit());
"""


def use_helpers(server):
    """Runs the helpers on a server. What they give."""
    with redis.Redis(port=server.port) as client:
        added = client.register_script(ADD)(keys=["redis-py"], args=[5])
        lock = client.lock("lock", timeout=60)
        assert lock.acquire() and lock.extend(60) and lock.reacquire()
        lock.release()
    sums = subprocess.run(
        ["node", "-e", IOREDIS, str(server.port), ADD], check=True, timeout=PATIENCE, capture_output=True, text=True
    )
    return added, sums.stdout.strip()


def wait_until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting until {what}"
        time.sleep(0.01)


def misses_after_failover(setting, undeclared):
    """How many calls the replica has answered by NOSCRIPT when it has taken its master's place."""
    arguments = ["intercept", "all", "keep-scripts", setting, *REPORT]
    with Server(arguments) as master, Server(arguments) as replica:
        first = redis.Redis(port=master.port)
        second = redis.Redis(port=replica.port)
        second.replicaof("127.0.0.1", master.port)
        wait_until("the link is up", lambda: second.info("replication")["master_link_status"] == "up")
        assert use_helpers(master) == (5, "3,7")

        def behind():
            return first.info("replication")["master_repl_offset"] - second.info("replication")["slave_repl_offset"]

        wait_until("the replica has all", lambda: behind() == 0)
        second.replicaof("NO", "ONE")
        assert use_helpers(replica) == (10, "10,14")
        for server in (master, replica):
            undeclared.look("helpers", server.port)
        return second.info("shadow_scripts")["shadow_scripts_missed_calls"]


def main():
    print(description(), flush=True)
    undeclared = Findings()
    kept, not_kept = (misses_after_failover(setting, undeclared) for setting in ("yes", "no"))
    passed = kept == 0 and not_kept > 0
    print(f"{'ok' if passed else 'FAILED':6}  NOSCRIPT after a failover: {kept}, and {not_kept} without keep-scripts")
    as_listed = undeclared.finish("clients", ["helpers"], False)
    return 0 if passed and as_listed else 1


if __name__ == "__main__":
    sys.exit(main())
