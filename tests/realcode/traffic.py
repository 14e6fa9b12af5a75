"""Ordinary use of Python packages that bring Lua. Arguments: which package, and the server's port.

`alike` is no package: its scripts do what those of Sidekiq (Ruby) and asynq (Go) do.
"""

import datetime
import json
import pathlib
import sys
import time

import redis

PACKAGE, PORT = sys.argv[1], int(sys.argv[2])


def limits():
    from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
    from limits.storage import storage_from_string
    from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

    storage = storage_from_string(f"redis://127.0.0.1:{PORT}")
    for strategy in (FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter):
        limiter = strategy(storage)
        few, many = RateLimitItemPerMinute(3), RateLimitItemPerSecond(10_000, 30)
        assert [limiter.hit(few, "alice") for _ in range(5)] == [True] * 3 + [False] * 2
        assert limiter.hit(few, "bob", cost=3) and not limiter.test(few, "bob")
        # More entries than one unpack may hold.
        assert limiter.hit(many, "carol", cost=6_000)
        assert not limiter.hit(many, "carol", cost=6_000)
        for item, name in ((few, "alice"), (few, "dora"), (many, "carol")):
            limiter.get_window_stats(item, name)
        assert limiter.get_window_stats(few, "alice").remaining == 0
        limiter.clear(few, "alice")
        assert limiter.test(few, "alice")
        # Strategies do not understand each other's keys.
        assert storage.reset() > 0


def throttled():
    from throttled import RateLimiterType, Throttled, rate_limiter, store

    backend = store.RedisStore(server=f"redis://127.0.0.1:{PORT}/0")
    for kind in RateLimiterType:
        throttle = Throttled(using=kind.value, quota=rate_limiter.per_min(4), store=backend)
        for cost in (1, 2, 1, 1, 3, 1):
            throttle.limit("alice", cost)
        throttle.peek("alice")
        throttle.peek("bob")


def walrus():
    from walrus import Database
    from walrus.rate_limit import RateLimitLua

    database = Database(port=PORT)
    array = database.Array("array")
    array.extend(["a", "b", "c", "d"])
    array.append("e")
    array[1] = "B"
    assert [array[0], array[1], array[-1], array.pop(), array.pop(0)] == [b"a", b"B", b"e", b"e", b"a"]
    del array[0]
    assert list(array) == [b"c", b"d"]
    database.set("fenced", "1:old")
    assert database.cas("fenced", "1:", "2:new") and not database.cas("fenced", "1:", "3:newer")
    limiter = RateLimitLua(database, "limit", limit=3, per=60)
    assert [limiter.limit("alice") for _ in range(5)] == [False] * 3 + [True] * 2
    lock = database.lock("lock", ttl=60_000)
    assert lock.acquire(block=False)
    assert not database.lock("lock", ttl=60_000, lock_id="other").acquire(block=False)
    assert lock.release()
    database.ZSet("scores").add({"low": 1, "middle": 5, "high": 9})
    database.run_script("zset_score_filter", keys=["scores", "best"], args=["5", "+inf"])
    assert database.smembers("best") == {b"middle", b"high"}


def redis_locks():
    client = redis.Redis(port=PORT)
    lock = client.lock("lock", timeout=60)
    assert lock.acquire() and not client.lock("lock").acquire(blocking=False)
    lock.extend(30)
    lock.extend(60, replace_ttl=True)
    lock.reacquire()
    client.set("lock", "stolen", keepttl=True)
    for change in (lock.release, lock.reacquire, lambda: lock.extend(1)):
        try:
            change()
        except redis.exceptions.LockError:
            lock.local.token = lock.local.token or b"gone"
        else:
            raise AssertionError("a lock of somebody else was changed")
    client.delete("lock")
    with client.lock("lock", timeout=60):
        pass

    import redis_lock

    other = redis_lock.Lock(client, "other", expire=60)
    assert other.acquire(blocking=False)
    other.extend(90)
    other.release()
    assert other.acquire(blocking=False)
    # Deletes what it finds by a pattern.
    redis_lock.reset_all(client)
    assert not client.exists("lock:other")


def rq():
    from rq import Queue, Retry

    client = redis.Redis(port=PORT)
    queue = Queue("mail", connection=client)
    queue.enqueue(time.ctime, 0, job_id="one", unique=True)
    try:
        queue.enqueue(time.ctime, 0, job_id="one", unique=True)
    except Exception as error:
        assert type(error).__name__ == "DuplicateJobError", error
    else:
        raise AssertionError("the job was enqueued twice")
    queue.enqueue(time.ctime, 0, job_id="first", unique=True, at_front=True, result_ttl=60, ttl=60)
    queue.enqueue(time.ctime, "x", retry=Retry(max=2))
    assert queue.job_ids[0] == "first"
    # Deletes the jobs whose ids are in the list.
    assert queue.empty() == 3 and not client.exists("rq:job:one")


def huey():
    from huey.storage import RedisStorage

    storage = RedisStorage("huey", port=PORT)
    for at, task in enumerate((b"a", b"b", b"c", b"\x00\xff")):
        storage.add_to_schedule(task, datetime.datetime.fromtimestamp(1_700_000_000 + 60 * at))
    due = storage.read_schedule(datetime.datetime.fromtimestamp(1_700_000_090))
    assert due == [b"a", b"b"] and storage.schedule_size() == 2, due


def pyrate_limiter():
    from pyrate_limiter import Duration, Limiter, Rate, RedisBucket

    client = redis.Redis(port=PORT)
    bucket = RedisBucket.init([Rate(3, Duration.MINUTE), Rate(5, Duration.HOUR)], client, "bucket")
    limiter = Limiter(bucket)
    for weight in (1, 1, 1, 1, 2):
        limiter.try_acquire("alice", weight=weight, blocking=False)


def alike():
    client = redis.Redis(port=PORT, decode_responses=True)
    directory = pathlib.Path(__file__).resolve().parent / "alike"
    run = {path.stem: client.register_script(path.read_text()) for path in directory.glob("*.lua")}

    def job(number, queue):
        return json.dumps({"class": "Mail", "args": [number], "queue": queue, "jid": f"j{number}"})

    client.zadd("app:schedule", {job(1, "mail"): 10, job(2, "low"): 20, job(3, "mail"): 30, job(4, "mail"): 90})
    assert run["sidekiq_schedule"](keys=["app:schedule"], args=[40, "app:"]) == 3
    assert client.smembers("app:queues") == {"mail", "low"} and client.llen("app:queue:mail") == 2
    client.lmove("app:queue:mail", "app:private", "RIGHT", "LEFT")
    assert run["sidekiq_recover"](keys=["app:private", "app:recovered"], args=["app:"]) == 1
    assert run["sidekiq_recover"](keys=["app:private", "app:recovered"], args=["app:"]) is None
    assert client.llen("app:queue:mail") == 2
    assert run["sidekiq_pop"](keys=["app:schedule"], args=[40]) is None
    assert run["sidekiq_pop"](keys=["app:schedule"], args=[100]) == job(4, "mail")

    pending, paused, active, lease = (f"asynq:{{mail}}:{name}" for name in ("pending", "paused", "active", "lease"))
    for number in range(3):
        keys = [f"asynq:{{mail}}:t:{number}", pending]
        assert run["asynq_enqueue"](keys=keys, args=[f"message {number}", number]) == 1
        assert run["asynq_enqueue"](keys=keys, args=[f"message {number}", number]) == 0
    dequeue = [pending, paused, active, lease], [100, "asynq:{mail}:t:"]
    assert [run["asynq_dequeue"](*dequeue) for _ in range(4)] == ["message 0", "message 1", "message 2", None]
    assert run["asynq_recover"](keys=[lease, active, pending], args=[200, "asynq:{mail}:t:"]) == 3
    assert client.hget("asynq:{mail}:t:1", "state") == "pending" and not client.exists(active)


globals()[PACKAGE]()
