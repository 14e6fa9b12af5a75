"""The function API of redis-py. Arguments: the server's port and the protocol, 2 or 3."""

import asyncio
import pathlib
import sys

import redis
import redis.asyncio

PORT, PROTOCOL = int(sys.argv[1]), int(sys.argv[2])
CART = (pathlib.Path(__file__).parent / "cart.lua").read_text()
TINY = "#!lua name=tiny\nredis.register_function('tiny', function() return 'first' end)"
TINIER = TINY.replace("first", "second")


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
    return reply["running_script"], lua["libraries_count"], lua["functions_count"]


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


async def asynchronous():
    async with connect(redis.asyncio) as client:
        assert await client.function_load(CART, replace=True) == "cart"
        assert libraries(await client.function_list()).keys() == {"cart"}
        assert await client.fcall("cart_add", 1, "cart:3", "fig", 4) == 4
        assert await client.fcall_ro("cart_get", 1, "cart:3", "fig") == "4"
        assert stats(await client.function_stats()) == (None, 1, 7)
        assert await client.function_delete("cart")
        assert await client.function_flush("ASYNC")


with connect() as connection:
    connection.flushall()
    load_and_list(connection)
    call(connection)
    delete_and_flush(connection)
asyncio.run(asynchronous())
