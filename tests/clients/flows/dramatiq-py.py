"""Messages of dramatiq: enqueued, worked off, delayed, tried again, given up, lost and found; and its rate limiters."""

import logging

from flow import PORT, PROTOCOL, clock, start, until

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import Retry
from dramatiq.middleware import AgeLimit, Callbacks, Retries
from dramatiq.rate_limits import BucketRateLimiter, ConcurrentRateLimiter, WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend

# Failures are meant to be.
logging.getLogger("dramatiq").setLevel(logging.CRITICAL + 1)

MINUTE = 60_000
QUEUES = ("default", "default.DQ", "other", "other.DQ")

client = redis.Redis(port=PORT, protocol=PROTOCOL)


def broker_of_its_own():
    """Each command does maintenance, so that it does not depend on chance."""
    middleware = [AgeLimit(), Callbacks(), Retries()]
    return RedisBroker(client=client, namespace="work", middleware=middleware, maintenance_chance=1_000_000)


broker = broker_of_its_own()
ran = []


@dramatiq.actor(broker=broker, max_retries=0)
def note(text, number=0):
    ran.append((text, number))


@dramatiq.actor(broker=broker, max_retries=2)
def stumble(text):
    ran.append(text)
    if ran.count(text) < 3:
        raise Retry(text, delay=MINUTE)


@dramatiq.actor(broker=broker, max_retries=0)
def fail(text):
    ran.append(text)
    raise ValueError(text)


@dramatiq.actor(broker=broker, queue_name="other")
def other(text):
    ran.append(text)


def sizes():
    """How many messages each queue has, with those that nobody has acknowledged."""
    return {name: size for name in QUEUES if (size := broker.do_qsize(name))}


def work(count, delayed=0):
    """What a worker did that takes one message at a time: so many calls, after which so many messages are delayed."""
    before, left = len(ran), [0, delayed, 0, 0]
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=10)
    worker.start()
    until(
        f"{count} calls",
        lambda: len(ran) >= before + count and [client.hlen(f"work:{name}.msgs") for name in QUEUES] == left,
    )
    worker.stop()
    return sorted(map(str, ran[before:])), sizes()


def messages():
    sent = [note.send("one"), note.send("zwölf", number=1.5), other.send("elsewhere")]
    sent.append(note.send_with_options(args=("late",), delay=MINUTE))
    return [[message.asdict() for message in sent], sizes()]


def worker():
    return work(3, delayed=1)


def delay():
    clock.advance(61)
    return work(1)


def retries():
    stumble.send("again")
    rounds = [work(1, delayed=1)]
    for delayed in (1, 0):
        clock.advance(61)
        rounds.append(work(1, delayed))
    return rounds


def failures():
    fail.send("hopeless")
    return work(1)


def burial():
    """What was given up is thrown away after a week."""
    kept = client.zcard("work:default.XQ")
    clock.advance(8 * 24 * 3600)
    return [kept, sizes(), client.zcard("work:default.XQ")]


def loss():
    """A worker takes two messages, acknowledges one, gives one back, and is not seen again with the third."""
    lost = broker_of_its_own()
    for text in ("done", "given back", "lost"):
        note.send(text)
    consumer = lost.consume("default", prefetch=3)
    first, second, third = (next(consumer) for _ in range(3))
    consumer.ack(first)
    consumer.requeue([second])
    taken = [message.args for message in (first, second, third)]
    held = [sizes(), client.lrange("work:default", 0, -1)]
    clock.advance(61)
    return [taken, held, sizes(), client.lrange("work:default", 0, -1)]


def recovery():
    return work(2)


def purge():
    for text in ("one", "two"):
        note.send_with_options(args=(text,), delay=MINUTE if text == "two" else None)
    client.script_flush()
    before = sizes()
    broker.flush_all()
    return [before, sizes()]


def limiters():
    backend = RedisBackend(client=client)
    concurrent = ConcurrentRateLimiter(backend, "concurrent", limit=2, ttl=MINUTE)
    answers = []
    with concurrent.acquire(raise_on_failure=False) as one, concurrent.acquire(raise_on_failure=False) as two:
        with concurrent.acquire(raise_on_failure=False) as three:
            answers += [one, two, three, client.get("concurrent")]
    answers.append(client.get("concurrent"))
    for limiter in (
        BucketRateLimiter(backend, "bucket", limit=2, bucket=10 * MINUTE),
        WindowRateLimiter(backend, "window", limit=3, window=60),
    ):
        for _ in range(4):
            with limiter.acquire(raise_on_failure=False) as acquired:
                answers.append(acquired)
        clock.advance(30)
    return answers


start(messages, worker, delay, retries, failures, burial, loss, recovery, purge, limiters)
