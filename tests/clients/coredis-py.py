"""The function API of coredis, which speaks RESP3 only. Argument: the server's port."""

import asyncio
import pathlib
import sys

import coredis
from coredis import PureToken
from coredis.commands.function import Library
from coredis.exceptions import ResponseError

HERE = pathlib.Path(__file__).parent
CART, SPIN = (HERE / "cart.lua").read_text(), (HERE / "spin.lua").read_text()
TINY = "#!lua name=tiny\nredis.register_function('tiny', function() return 'first' end)"
TINIER = TINY.replace("first", "second")

# How many seconds a condition may take before the test gives up on it.
PATIENCE = 20

# What the server answers while a function runs too long, and what the call of a killed function answers.
BUSY, KILLED = "BUSY ", "Script killed by user with "


async def fails(text, request):
    """The request must raise an error of the server that starts with `text`."""
    try:
        reply = await request
    except ResponseError as error:
        assert str(error).startswith(text), f"{error}"
    else:
        raise AssertionError(f"{reply!r} instead of an error")


def damaged(payload):
    """The payload with its last byte, which belongs to the checksum, changed."""
    return payload[:-1] + bytes([payload[-1] ^ 1])


def counts(libraries, functions):
    """What function_stats returns when no function runs."""
    engines = {"LUA": {"libraries_count": libraries, "functions_count": functions}}
    return {"running_script": None, "engines": engines}


def is_spinning(numbers):
    """Whether function_stats tells of the function that the tests kill, which must be all right then."""
    running = numbers["running_script"]
    if running is None:
        return False
    name, *arguments = running["command"]
    assert running.keys() == {"name", "command", "duration_ms"}
    assert (running["name"], name.upper(), arguments) == ("spin", "FCALL", ["spin", "1", "key", "a b"])
    assert running["duration_ms"] >= 100
    assert numbers["engines"] == counts(1, 2)["engines"]
    return True


async def load_and_list(client):
    assert await client.function_load(CART) == "cart"
    assert await client.function_load(TINY) == "tiny"
    await fails("Library 'tiny' already exists", client.function_load(TINIER))
    assert await client.function_load(TINIER, replace=True) == "tiny"
    assert await client.fcall("tiny") == "second"

    assert set(await client.function_list()) == {"cart", "tiny"}
    tiny = {"name": "tiny", "engine": "LUA", "library_code": None}
    tiny["functions"] = {"tiny": {"name": "tiny", "description": None, "flags": set()}}
    assert await client.function_list("t*") == {"tiny": tiny}
    assert await client.function_list("tiny", withcode=True) == {"tiny": {**tiny, "library_code": TINIER}}
    assert await client.function_list("none*") == {}
    kinds = (await client.function_list("cart"))["cart"]["functions"]["cart_kinds"]
    assert kinds == {"name": "cart_kinds", "description": "one of each", "flags": {"no-writes", "allow-stale"}}
    assert await client.function_stats() == counts(2, 8)


async def call(client):
    assert await client.fcall("cart_add", ["cart:1"], ["apple", 5]) == 5
    assert await client.fcall("cart_add", ["cart:1"], ["pear", 2]) == 2
    assert await client.fcall_ro("cart_get", ["cart:1"], ["apple"]) == "5"
    assert await client.fcall_ro("cart_get", ["cart:1"], ["plum"]) is None
    assert await client.fcall_ro("cart_all", ["cart:1"]) == {"apple": "5", "pear": "2"}
    assert await client.fcall("cart_total", ["cart:1"]) == 3.5
    assert await client.fcall("cart_kinds", [], ["ä"]) == [1, "two", None, [1, "ä"]]
    assert await client.fcall("cart_rename", ["cart:1", "cart:2"]) == "OK"
    await fails("CART is full", client.fcall("cart_fail", [], ["is full"]))
    await fails("Can not execute a script with write flag using *_ro command.", client.fcall_ro("cart_add", ["k"]))
    await fails("Function not found", client.fcall("nothing"))

    # Its own layer above: reads FUNCTION LIST and picks FCALL or FCALL_RO by the flags.
    library = await Library(client, "cart")
    assert set(library.functions) == {f"cart_{name}" for name in "add all fail get kinds rename total".split()}
    assert await library["cart_add"](["cart:2"], ["plum", 1]) == 1
    assert await library["cart_get"](["cart:2"], ["plum"]) == "1"

    async with client.pipeline(transaction=True) as pipeline:
        added = pipeline.fcall("cart_add", ["cart:2"], ["plum", 1])
        got = pipeline.fcall_ro("cart_get", ["cart:2"], ["plum"])
    assert (await added, await got) == (2, "2")


async def delete_and_flush(client):
    assert await client.function_delete("tiny") is True
    await fails("Library not found", client.function_delete("tiny"))
    for mode in (None, PureToken.SYNC, PureToken.ASYNC):
        assert await client.function_flush(mode) is True
        assert await client.function_list() == {}
        assert await client.function_load(CART) == "cart"
    assert await client.fcall_ro("cart_get", ["cart:2"], ["plum"]) == "2"
    assert await client.function_flush() is True


async def dump_and_restore(client):
    assert await client.function_load(TINY) == "tiny"
    payload = await client.function_dump()
    assert type(payload) is bytes
    assert await client.function_load(TINIER, replace=True) == "tiny"
    assert await client.function_load(CART) == "cart"
    for policy in (PureToken.FLUSH, PureToken.APPEND, PureToken.REPLACE):
        refused = client.function_restore(damaged(payload), policy)
        await fails("DUMP payload version or checksum are wrong", refused)
    await fails("Library tiny already exists", client.function_restore(payload))
    await fails("Library tiny already exists", client.function_restore(payload, PureToken.APPEND))
    assert await client.fcall("tiny") == "second"
    assert await client.function_stats() == counts(2, 8)

    assert await client.function_restore(payload, PureToken.REPLACE) is True
    assert await client.fcall("tiny") == "first"
    assert set(await client.function_list()) == {"cart", "tiny"}
    assert await client.function_restore(payload, PureToken.FLUSH) is True
    listed = await client.function_list(withcode=True)
    assert {name: library["library_code"] for name, library in listed.items()} == {"tiny": TINY}
    assert await client.function_dump() == payload
    assert await client.function_delete("tiny") is True
    assert await client.function_load(CART) == "cart"
    assert await client.function_restore(payload, PureToken.APPEND) is True
    assert await client.fcall("tiny") == "first"
    assert set(await client.function_list()) == {"cart", "tiny"}
    assert await client.function_flush(PureToken.SYNC) is True


async def kill(client, other):
    assert await client.function_load(SPIN) == "spin"
    await fails("No scripts in execution right now.", client.function_kill())
    connection_id = await other.client_id()
    spinning = asyncio.create_task(fails(KILLED, other.fcall("spin", ["key"], ["a b"])))
    async with asyncio.timeout(PATIENCE):
        while not is_spinning(await client.function_stats()):
            pass
        await fails(BUSY, client.get("key"))
        await fails(BUSY, client.fcall_ro("rest"))
        await fails(BUSY, client.function_list())
        await fails(BUSY, client.function_dump())
        await fails(BUSY, client.script_kill())
        assert is_spinning(await client.function_stats())
        assert await client.function_kill() is True
        await spinning

    # Neither connection is a new one, and nothing is left of the function.
    assert await other.fcall_ro("rest") == await client.fcall_ro("rest") == "still here"
    assert await other.client_id() == connection_id
    assert await client.function_stats() == counts(1, 2)
    await fails("No scripts in execution right now.", client.function_kill())
    assert await client.function_flush(PureToken.SYNC) is True


def connect():
    return coredis.Redis(port=int(sys.argv[1]), decode_responses=True)


async def main():
    async with connect() as client, connect() as other:
        await client.flushall()
        await load_and_list(client)
        await call(client)
        await delete_and_flush(client)
        await dump_and_restore(client)
        await kill(client, other)


asyncio.run(main())
