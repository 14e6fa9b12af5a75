"""What is in a database, key by key, so that two databases can be compared."""

import json

READ = {
    b"string": lambda key: ("GET", key),
    b"list": lambda key: ("LRANGE", key, 0, -1),
    b"set": lambda key: ("SMEMBERS", key),
    b"hash": lambda key: ("HGETALL", key),
    b"zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
    b"stream": lambda key: ("XRANGE", key, "-", "+"),
}


def contents(reader):
    """Every key of a database: its type, encoding, the milliseconds since 1970 at which it expires, or -1, its value.

    `reader` is a client that presents the replies of RESP2 as they are.
    """
    keys = sorted(reader.execute_command("KEYS", "*"))
    with reader.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.execute_command("TYPE", key)
            pipeline.execute_command("OBJECT", "ENCODING", key)
            pipeline.execute_command("PEXPIRETIME", key)
        replies = pipeline.execute()
    kinds = replies[::3]
    with reader.pipeline(transaction=False) as pipeline:
        for key, kind in zip(keys, kinds):
            pipeline.execute_command(*READ.get(kind, READ[b"string"])(key))
        values = pipeline.execute(raise_on_error=False)
    database = {}
    for key, kind, encoding, expires, value in zip(keys, kinds, replies[1::3], replies[2::3], values):
        if kind == b"none":
            continue
        if kind == b"set":
            value = sorted(value)
        elif kind == b"hash":
            value = [word for pair in sorted(zip(value[::2], value[1::2])) for word in pair]
        elif kind == b"stream":
            # An entry's id is the time at which it was added.
            value = [fields for _, fields in value]
        database[key] = [kind, encoding, expires, value]
    return database


def reordered(stock, other):
    """Whether both are the same JSON but for the order of members, which Lua does not promise."""

    def number(digits):
        # As it is written: 1 is not 1.0.
        return ["number", digits]

    def in_order(text):
        return json.dumps(json.loads(text, parse_int=number, parse_float=number), sort_keys=True)

    try:
        return stock[:1] in b"[{" and in_order(stock) == in_order(other)
    except ValueError:
        return False
