"""The containers, locks and limits of walrus that are scripts."""

import threading

from flow import PORT, PROTOCOL, clock, failure, start, until

from walrus import Database
from walrus.rate_limit import RateLimitLua

database = Database(host="127.0.0.1", port=PORT, protocol=PROTOCOL)


def array():
    items = database.Array("array")
    items.extend(["a", "b", "c", "ä", b"\x00\xff"])
    items.append("e")
    items[1] = "B"
    read = [items[0], items[1], items[-1], items[7], len(items)]
    taken = [items.pop(), items.pop(0), items.pop(-2)]
    del items[0]
    return [read, taken, list(items), b"c" in items]


def swap():
    database.set("fenced", "1:old")
    return [database.cas("fenced", "1:", "2:new"), database.cas("fenced", "1:", "3:newer"), database.get("fenced")]


def limit():
    limiter = RateLimitLua(database, "limit", limit=3, per=60)
    calls = [limiter.limit("alice") for _ in range(5)]
    clock.advance(61)
    later = [limiter.limit("alice") for _ in range(4)]

    @limiter.rate_limited(lambda name: name)
    def greet(name):
        return f"hello {name}"

    return [calls, later, [greet("bob") for _ in range(3)], failure(greet, "bob")]


def lock():
    held = database.lock("lock", ttl=60_000)
    other = database.lock("lock", ttl=60_000, lock_id="other")
    answers = [held.acquire(block=False), other.acquire(block=False), other.release(), held.release(), held.release()]
    with database.lock("forever", lock_id="mine"):
        answers.append(database.get("lock:forever"))
    return [*answers, other.acquire(block=False)]


def contention():
    """A thread waits for the lock, in a blocking command, until it is given back."""
    held = database.lock("contended", ttl=60_000, lock_id="first")
    held.acquire()
    taken = []
    waiting = database.lock("contended", ttl=60_000, lock_id="second")
    thread = threading.Thread(target=lambda: taken.append(waiting.acquire()))
    thread.start()
    until("the thread waits", lambda: database.info("clients")["blocked_clients"] == 1)
    released = held.release()
    thread.join()
    return [released, taken, database.get("lock:contended")]


def scores():
    database.ZSet("scores").add({"low": 1, "middle": 5.5, "high": 9, "none": float("-inf")})
    found = database.run_script("zset_score_filter", keys=["scores", "best"], args=["5", "+inf"])
    database.script_flush()
    return [found, database.run_script("zset_score_filter", keys=["scores", "worst"], args=["-inf", "(5.5"])]


start(array, swap, limit, lock, contention, scores)
