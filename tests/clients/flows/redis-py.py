"""The script helpers of redis-py: register_script, Lock, and the commands themselves, with asyncio too."""

import asyncio
import pathlib
import threading

from flow import PORT, PROTOCOL, draw, failure, start, until

import redis
import redis.asyncio

HERE = pathlib.Path(__file__).parent
LUA = {path.stem: path.read_text() for path in (HERE / "lua").glob("*.lua")}
MISSING = "0" * 40


def connect(module=redis, **options):
    return module.Redis(port=PORT, protocol=PROTOCOL, **options)


client = connect()
stock, kinds = client.register_script(LUA["stock"]), client.register_script(LUA["kinds"])


def scripts():
    client.set("pears", 10)
    taken = [stock(["pears", "sales"], [count, "ä"]) for count in (3, 7, 1)]
    pack = client.register_script(LUA["pack"].encode())
    return [
        taken,
        kinds(),
        kinds(["a", b"\xff"], ["b", 1.5, b"\x00\r\n"]),
        kinds(["a"], client=connect(decode_responses=True)),
        pack(["packed"], ["four", "ä", b"\x00\xff", ""]),
        (stock.sha, pack.sha),
    ]


def refusals():
    client.rpush("list", "one")
    refusal = client.register_script(LUA["refusal"])
    ways = ("reply", "call", "pcall", "raise")
    return [
        [failure(refusal, ["list"], [how, "is empty"]) for how in ways],
        failure(client.eval, "return 1", 2, "one"),
        failure(client.eval, "return 1", -1),
        failure(client.evalsha, MISSING, 0),
        failure(client.evalsha_ro, MISSING, 0),
        failure(client.eval_ro, "return redis.call('SET', KEYS[1], 1)", 1, "key"),
    ]


def cache():
    digest = client.script_load(LUA["stock"])
    client.set("pears", 4)
    return [
        digest,
        client.script_exists(digest, MISSING, digest.upper()),
        client.evalsha(digest, 2, "pears", "sales", 1, "by digest"),
        client.evalsha_ro(client.script_load(LUA["kinds"]), 1, "a", "b"),
        client.eval_ro(LUA["kinds"], 0),
        client.script_flush(),
        client.script_exists(digest),
        # The helper is told that there is no such script, loads it, and calls it again.
        stock(["pears", "sales"], [1, "after a flush"]),
        client.script_exists(digest),
        client.script_flush("ASYNC"),
        client.script_exists(digest),
        client.script_flush("SYNC"),
        failure(client.script_kill),
    ]


def pipelines():
    client.set("pears", 9)
    answers = []
    for transaction in (True, False):
        # A pipeline asks which of its scripts are there, and loads the others.
        client.script_flush()
        with client.pipeline(transaction=transaction) as pipeline:
            stock(["pears", "sales"], [2, "together"], client=pipeline)
            pipeline.get("pears")
            kinds(["a"], client=pipeline)
            stock(["pears", "sales"], [9, "too many"], client=pipeline)
            pipeline.evalsha(MISSING, 0)
            pipeline.incr("pears")
            answers.append([repr(reply) for reply in pipeline.execute(raise_on_error=False)])
    with client.pipeline() as pipeline:
        pipeline.watch("pears")
        stock(["pears", "sales"], [1, "while watched"])
        pipeline.multi()
        stock(["pears", "sales"], [1, "too late"], client=pipeline)
        answers.append(failure(pipeline.execute))
    return answers


def maps():
    client.hset("fields", "one", "two")
    client.zadd("scores", {"ten": 10.5})
    return client.eval(LUA["maps"], 2, "fields", "scores")


def lock():
    held = client.lock("lock", timeout=60)
    answers = [held.acquire(), client.get("lock"), client.lock("lock").acquire(blocking=False)]
    answers += [held.extend(30), held.owned(), held.locked()]
    other = client.lock("other", timeout=60)
    answers += [other.acquire(token="mine"), other.extend(90, replace_ttl=True), other.extend(1.5)]
    third = client.lock("third", timeout=60)
    answers += [third.acquire(), third.extend(600, replace_ttl=True), third.reacquire(), third.release()]
    answers += [failure(third.release), failure(third.extend, 1), client.exists("third")]
    return answers


def theft():
    held = client.lock("stolen", timeout=60)
    held.acquire()
    client.set("stolen", "somebody else", keepttl=True)
    answers = [failure(held.reacquire), failure(held.extend, 1), failure(held.release)]
    client.script_flush()
    with client.lock("used", timeout=60) as used:
        answers.append(used.owned())
    return [*answers, client.exists("used")]


def contention():
    """A thread waits for a lock that another one has."""
    held = client.lock("contended", timeout=60)
    held.acquire()
    taken = []

    def wait():
        with connect() as other:
            waiting = other.lock("contended", timeout=60, sleep=0.001)
            taken.append(waiting.acquire(blocking_timeout=20))
            taken.append(waiting.owned())
            waiting.release()

    def tried():
        return client.info("commandstats")["cmdstat_set"]["calls"] >= before + 2

    before = client.info("commandstats")["cmdstat_set"]["calls"]
    thread = threading.Thread(target=wait)
    thread.start()
    until("the thread has tried", tried)
    held.release()
    thread.join()
    return taken


def kill():
    other, ended = connect(), []
    thread = threading.Thread(target=lambda: ended.append(failure(other.eval, LUA["loop"], 0)))
    thread.start()

    def busy():
        try:
            client.get("pears")
        except redis.ResponseError as error:
            answers.append(f"{type(error).__name__}: {error}")
        return answers

    answers = []
    until("the script lets others in", busy)
    answers += [failure(stock, ["pears", "sales"], [1, "while another runs"]), client.script_kill()]
    thread.join()
    return [answers, ended, other.eval("return 'still here'", 0)]


async def with_asyncio():
    async with connect(redis.asyncio) as client:
        script, many = client.register_script(LUA["stock"]), client.register_script(LUA["kinds"])
        await client.script_flush()
        await client.set("plums", 9)
        answers = [await script(["plums", "sales"], [2, "asyncio"]), await many()]
        await client.script_flush()
        async with client.pipeline() as pipeline:
            await script(["plums", "sales"], [3, "together"], client=pipeline)
            await many(["a"], client=pipeline)
            answers.append(await pipeline.execute())
        held = client.lock("asyncio", timeout=60)
        answers += [await held.acquire(token=draw(8).hex()), await held.extend(30), await held.reacquire()]
        answers += [await client.get("asyncio"), await held.release(), await client.exists("asyncio")]
        return answers


def asynchronous():
    return asyncio.run(with_asyncio())


start(scripts, refusals, cache, pipelines, maps, lock, theft, contention, kill, asynchronous)
