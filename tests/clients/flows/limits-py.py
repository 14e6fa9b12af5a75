"""The strategies of limits, and the same with asyncio, on redis-py and on coredis."""

import asyncio

from flow import PORT, PROTOCOL, clock, start

from limits import RateLimitItemPerHour, RateLimitItemPerMinute, aio, strategies
from limits.storage import storage_from_string

URI = f"redis://127.0.0.1:{PORT}"
FEW, MANY = RateLimitItemPerMinute(3), RateLimitItemPerHour(10_000)

storage = storage_from_string(URI, protocol=PROTOCOL)


def calls(limiter):
    """What the limiter says to five calls, to a dear one, to a test, and how much is left then."""
    hits = [limiter.hit(FEW, "alice") for _ in range(5)]
    dear = [limiter.test(FEW, "bob", cost=3), limiter.hit(FEW, "bob", cost=3), limiter.test(FEW, "bob")]
    # More entries than one unpack may hold.
    many = [limiter.hit(MANY, "carol", cost=6_000), limiter.hit(MANY, "carol", cost=6_000)]
    never = limiter.hit(FEW, "dora", cost=4)
    asked = ((FEW, "alice"), (FEW, "erin"), (MANY, "carol"))
    return hits, dear, many, never, [limiter.get_window_stats(item, name).remaining for item, name in asked]


def renewals(limiter):
    limiter.clear(FEW, "alice")
    return [limiter.test(FEW, "alice"), limiter.hit(FEW, "alice", cost=2), limiter.test(FEW, "alice", cost=2)]


def fixed():
    limiter = strategies.FixedWindowRateLimiter(storage)
    return [calls(limiter), renewals(limiter)]


def moving():
    limiter = strategies.MovingWindowRateLimiter(storage)
    # Strategies do not understand each other's keys.
    answers = [storage.reset(), calls(limiter)]
    started = limiter.get_window_stats(FEW, "alice").reset_time
    # The window moves on with the time that the client tells.
    clock.advance(45)
    answers += [renewals(limiter), started]
    clock.advance(45)
    answers += [limiter.hit(FEW, "bob", cost=2), limiter.hit(FEW, "bob", cost=2), limiter.get_window_stats(FEW, "bob")]
    return answers


def sliding():
    limiter = strategies.SlidingWindowCounterRateLimiter(storage)
    answers = [storage.reset(), calls(limiter), renewals(limiter)]
    # What is left of the window before counts in proportion.
    previous = "LIMITS:{LIMITER/frank/3/1/minute}"
    storage.storage.set(previous, 2, px=75_000)
    answers += [limiter.test(FEW, "frank"), limiter.hit(FEW, "frank", cost=3), limiter.hit(FEW, "frank")]
    storage.storage.set(previous, 2, px=45_000)
    return [*answers, limiter.hit(FEW, "frank", cost=2), limiter.hit(FEW, "frank"), limiter.hit(FEW, "frank")]


async def with_asyncio(implementation, **options):
    store = storage_from_string(f"async+{URI}", implementation=implementation, **options)
    async with store.bridge.get_connection():
        answers = [await store.reset()]
        for name in ("FixedWindowRateLimiter", "MovingWindowRateLimiter", "SlidingWindowCounterRateLimiter"):
            limiter = getattr(aio.strategies, name)(store)
            answers.append([await limiter.hit(FEW, name) for _ in range(5)])
            answers.append((await limiter.get_window_stats(FEW, name)).remaining)
        return answers


def asynchronous():
    return asyncio.run(with_asyncio("redispy", protocol=PROTOCOL))


def with_coredis():
    return asyncio.run(with_asyncio("coredis"))


start(fixed, moving, sliding, asynchronous, with_coredis)
