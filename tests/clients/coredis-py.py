"""The function API of coredis, which speaks RESP3 only. Argument: the server's port."""

import asyncio
import pathlib
import sys

import coredis
from coredis import PureToken
from coredis.commands.function import Library
from coredis.exceptions import ResponseError

CART = (pathlib.Path(__file__).parent / "cart.lua").read_text()
TINY = "#!lua name=tiny\nredis.register_function('tiny', function() return 'first' end)"
TINIER = TINY.replace("first", "second")


async def fails(text, request):
    """The request must raise an error of the server that starts with `text`."""
    try:
        reply = await request
    except ResponseError as error:
        assert str(error).startswith(text), f"{error}"
    else:
        raise AssertionError(f"{reply!r} instead of an error")


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
    assert await client.function_stats() == {
        "running_script": None,
        "engines": {"LUA": {"libraries_count": 2, "functions_count": 8}},
    }


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


async def main():
    async with coredis.Redis(port=int(sys.argv[1]), decode_responses=True) as client:
        await client.flushall()
        await load_and_list(client)
        await call(client)
        await delete_and_flush(client)


asyncio.run(main())
