"""The function API of redis-py. Arguments: the server's port and the protocol, 2 or 3."""

import asyncio
import pathlib
import queue
import sys
import threading
import time

import redis
import redis.asyncio

PORT, PROTOCOL = int(sys.argv[1]), int(sys.argv[2])
HERE = pathlib.Path(__file__).parent
CART, SPIN = (HERE / "cart.lua").read_text(), (HERE / "spin.lua").read_text()
TINY = "#!lua name=tiny\nredis.register_function('tiny', function() return 'first' end)"
TINIER = TINY.replace("first", "second")

# How many seconds a condition may take before the test gives up on it.
PATIENCE = 20

# What the server answers while a function runs too long, and what the call of a killed function answers.
BUSY, KILLED = "BUSY ", "Script killed by user with "


def connect(module=redis):
    return module.Redis(port=PORT, protocol=PROTOCOL, decode_responses=True)


def fails(text, call, *arguments, **options):
    """The call must raise an error of the server that starts with `text`."""
    try:
        reply = call(*arguments, **options)
    except redis.ResponseError as error:
        assert str(error).startswith(text), f"{error}"
    else:
        raise AssertionError(f"{reply!r} instead of an error")


def damaged(payload):
    """The payload with its last byte, which belongs to the checksum, changed."""
    return payload[:-1] + bytes([payload[-1] ^ 1])


def table(value):
    """A map, which in RESP2 is a list of keys and values in turn."""
    return value if PROTOCOL == 3 else dict(zip(value[::2], value[1::2]))


def libraries(reply):
    """What function_list returned, by the libraries' names, and in each the functions by theirs."""
    listed = {}
    for library in map(table, reply):
        functions = {one["name"]: (one["description"], set(one["flags"])) for one in map(table, library["functions"])}
        listed[library["library_name"]] = (library["engine"], functions, library.get("library_code"))
    return listed


def stats(reply):
    reply = table(reply)
    lua = table(table(reply["engines"])["LUA"])
    running = reply["running_script"]
    return running and table(running), lua["libraries_count"], lua["functions_count"]


def is_spinning(numbers):
    """Whether `stats` tells of the function that the tests kill, which must be all right then."""
    running, *counts = numbers
    if running is None:
        return False
    name, *arguments = running["command"]
    assert running.keys() == {"name", "command", "duration_ms"}
    assert (running["name"], name.upper(), arguments) == ("spin", "FCALL", ["spin", "1", "key", "a b"])
    assert running["duration_ms"] >= 100
    assert counts == [1, 2]
    return True


def load_and_list(client):
    assert client.function_load(CART) == "cart"
    assert client.function_load(TINY) == "tiny"
    fails("Library 'tiny' already exists", client.function_load, TINIER)
    assert client.fcall("tiny", 0) == "first"
    assert client.function_load(TINIER, replace=True) == "tiny"
    assert client.fcall("tiny", 0) == "second"
    fails("Error compiling function", client.function_load, "#!lua name=bad\nreturn +")
    fails("Missing library metadata", client.function_load, "return 1")

    assert libraries(client.function_list()).keys() == {"cart", "tiny"}
    assert libraries(client.function_list(library="ti*")) == {"tiny": ("LUA", {"tiny": (None, set())}, None)}
    with_code = libraries(client.function_list(library="tiny", withcode=True))
    assert with_code == {"tiny": ("LUA", {"tiny": (None, set())}, TINIER)}
    assert libraries(client.function_list(library="none*")) == {}
    _, functions, _ = libraries(client.function_list(library="cart"))["cart"]
    assert functions["cart_kinds"] == ("one of each", {"no-writes", "allow-stale"})
    assert functions["cart_add"] == (None, set())
    assert len(functions) == 7
    assert stats(client.function_stats()) == (None, 2, 8)


def call(client):
    assert client.fcall("cart_add", 1, "cart:1", "apple", 2) == 2
    assert client.fcall("cart_add", 1, "cart:1", "apple", 3) == 5
    assert client.fcall("cart_add", 1, "cart:1", "pear", 2) == 2
    assert client.fcall_ro("cart_get", 1, "cart:1", "apple") == "5"
    assert client.fcall_ro("cart_get", 1, "cart:1", "plum") is None
    pairs = {"apple": "5", "pear": "2"}
    assert table(client.fcall_ro("cart_all", 1, "cart:1")) == pairs
    assert client.fcall("cart_total", 1, "cart:1") == (3.5 if PROTOCOL == 3 else "3.5")
    assert client.fcall("cart_kinds", 0, "ä") == [1, "two", None, [1, "ä"]]
    assert client.fcall("cart_rename", 2, "cart:1", "cart:2") == "OK"
    assert client.hgetall("cart:2") == pairs
    fails("CART is full", client.fcall, "cart_fail", 0, "is full")
    fails("Can not execute a script with write flag using *_ro command.", client.fcall_ro, "cart_add", 1, "k", "a", 1)
    fails("Function not found", client.fcall, "nothing", 0)
    fails("Number of keys can't be greater than number of args", client.fcall, "cart_get", 2, "k")

    with client.pipeline(transaction=True) as pipeline:
        pipeline.fcall("cart_add", 1, "cart:2", "plum", 1).fcall_ro("cart_get", 1, "cart:2", "plum").hlen("cart:2")
        assert pipeline.execute() == [1, "1", 3]
    with client.pipeline(transaction=False) as pipeline:
        pipeline.fcall("cart_add", 1, "cart:2", "plum", 1).fcall("nothing", 0).function_stats()
        plum, error, numbers = pipeline.execute(raise_on_error=False)
        assert plum == 2 and str(error).startswith("Function not found") and stats(numbers)[1:] == (2, 8)


def delete_and_flush(client):
    assert client.function_delete("tiny")
    fails("Function not found", client.fcall, "tiny", 0)
    fails("Library not found", client.function_delete, "tiny")
    for mode in ("SYNC", "ASYNC"):
        assert client.function_flush(mode)
        assert libraries(client.function_list()) == {}
        assert stats(client.function_stats()) == (None, 0, 0)
        assert client.function_load(CART) == "cart"
    assert client.fcall_ro("cart_get", 1, "cart:2", "plum") == "2"


def dump_and_restore(client):
    assert client.function_flush("SYNC")
    assert client.function_load(TINY) == "tiny"
    payload = client.function_dump()
    assert type(payload) is bytes
    assert client.function_load(TINIER, replace=True) == "tiny"
    assert client.function_load(CART) == "cart"
    for policy in ("FLUSH", "APPEND", "REPLACE"):
        fails("DUMP payload version or checksum are wrong", client.function_restore, damaged(payload), policy)
    fails("Library tiny already exists", client.function_restore, payload)
    fails("Library tiny already exists", client.function_restore, payload, "APPEND")
    fails("Wrong restore policy given", client.function_restore, payload, "NEITHER")
    assert client.fcall("tiny", 0) == "second"
    assert stats(client.function_stats()) == (None, 2, 8)

    assert client.function_restore(payload, "REPLACE")
    assert client.fcall("tiny", 0) == "first"
    assert libraries(client.function_list()).keys() == {"cart", "tiny"}
    assert client.function_restore(payload, "FLUSH")
    assert libraries(client.function_list(withcode=True)) == {"tiny": ("LUA", {"tiny": (None, set())}, TINY)}
    assert client.function_dump() == payload
    assert client.function_delete("tiny")
    assert client.function_load(CART) == "cart"
    assert client.function_restore(payload, "APPEND")
    assert client.fcall("tiny", 0) == "first"
    assert libraries(client.function_list()).keys() == {"cart", "tiny"}
    assert client.function_flush("SYNC")


def kill(client):
    assert client.function_load(SPIN) == "spin"
    fails("NOTBUSY No scripts in execution right now.", client.function_kill)
    with connect() as other:
        connection_id, replies = other.client_id(), queue.SimpleQueue()

        def spin():
            try:
                replies.put(other.fcall("spin", 1, "key", "a b"))
            except redis.RedisError as error:
                replies.put(error)

        threading.Thread(target=spin, daemon=True).start()
        deadline = time.monotonic() + PATIENCE
        while not is_spinning(stats(client.function_stats())):
            assert time.monotonic() < deadline, "the function does not run"
        fails(BUSY, client.get, "key")
        fails(BUSY, client.fcall_ro, "rest", 0)
        fails(BUSY, client.function_list)
        fails(BUSY, client.function_dump)
        fails(BUSY, client.script_kill)
        assert is_spinning(stats(client.function_stats()))
        assert client.function_kill() == "OK"
        error = replies.get(timeout=PATIENCE)
        assert type(error) is redis.ResponseError and str(error).startswith(KILLED), repr(error)

        # Neither connection is a new one, and nothing is left of the function.
        assert other.fcall_ro("rest", 0) == client.fcall_ro("rest", 0) == "still here"
        assert other.client_id() == connection_id
    assert stats(client.function_stats()) == (None, 1, 2)
    fails("NOTBUSY No scripts in execution right now.", client.function_kill)
    assert client.function_flush("SYNC")


async def asynchronous():
    async with connect(redis.asyncio) as client:
        assert await client.function_load(CART, replace=True) == "cart"
        assert libraries(await client.function_list()).keys() == {"cart"}
        assert await client.fcall("cart_add", 1, "cart:3", "fig", 4) == 4
        assert await client.fcall_ro("cart_get", 1, "cart:3", "fig") == "4"
        assert stats(await client.function_stats()) == (None, 1, 7)
        payload = await client.function_dump()
        assert await client.function_delete("cart")
        assert await client.function_restore(payload)
        assert await client.fcall_ro("cart_get", 1, "cart:3", "fig") == "4"
        assert await client.function_flush("ASYNC")
        await asynchronous_kill(client)


async def asynchronous_kill(client):
    assert await client.function_load(SPIN) == "spin"
    async with connect(redis.asyncio) as other:
        connection_id = await other.client_id()
        spinning = asyncio.create_task(other.fcall("spin", 1, "key", "a b"))
        async with asyncio.timeout(PATIENCE):
            while not is_spinning(stats(await client.function_stats())):
                pass
            assert await client.function_kill() == "OK"
            [error] = await asyncio.gather(spinning, return_exceptions=True)
        assert type(error) is redis.ResponseError and str(error).startswith(KILLED), repr(error)
        assert await other.fcall_ro("rest", 0) == "still here"
        assert await other.client_id() == connection_id
    assert await client.function_flush("SYNC")


with connect() as connection:
    connection.flushall()
    load_and_list(connection)
    call(connection)
    delete_and_flush(connection)
    dump_and_restore(connection)
    kill(connection)
asyncio.run(asynchronous())
