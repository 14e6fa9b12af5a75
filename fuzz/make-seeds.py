#!/usr/bin/env python3
"""Writes fuzz/seeds/: what the fuzz targets start from. To be run again after a change here."""

import pathlib
import shutil
import struct

HERE = pathlib.Path(__file__).parent
SERVERS = b"\0\1\2"


def write(target, name, data):
    directory = HERE / "seeds" / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(data)


def shebang():
    for name, line in {
        "plain": b"#!lua name=mylib\nreturn 1",
        "quoted": b"#!lua \"name=a\\x41\\n\" 'x'\n",
        "spaces": b"#!LuA\t NaMe=\"c\" \r\n\0\xff",
        "twice": b"#!lua name=a name=b\n",
        "engine": b"#!\"js\" name=x\n",
        "nul": b"#!lua name=a\0\n",
        "single": b"#!lua name='it\\'s'\n",
    }.items():
        write("shebang", name, b"\0" + line)
    write("shebang", "parts", b"\1#!lua name=\"my\"'l'ib\n")


def payload():
    code = b"#!lua name=mylib\nredis.register_function('f', function() return 1 end)"
    long = code + b"\n-- again and again" * 9
    records = {
        "short": b"\xf5\x03abc",
        "medium": b"\xf5" + struct.pack(">H", 0x4000 | len(code)) + code,
        "wide": b"\xf5\x80" + struct.pack(">I", len(long)) + long,
        "widest": b"\xf5\x81" + struct.pack(">Q", 3) + b"abc\xf5\0",
        "integers": b"\xf5\xc0\x85\xf5\xc1\x05\x80\xf5\xc2\0\0\0\x80",
        "compressed": b"\xf5\xc3\x05\x0a\0a\xe0\0\0\xf5\xc3\x05\x0a\0a\xe0\0\0",
        "old": b"\xf6\x02l1\x03LUA\x01\x04text\x03f()",
        "other": b"\x00\x03abc",
        "none": b"",
    }
    for name, record in records.items():
        for options in (1, 1 | 1 << 2, 1 | 0x20, 1 | 2 << 2 | 0x10):
            write("payload", f"{name}-{options}", bytes([options]) + record)
    write("payload", "whole", b"\0" + bytes.fromhex("0a005d9b5c400f7fa2da"))
    for options in (3, 3 | 0x10):
        write("payload", f"sources-{options}", bytes([options]) + code + b"\xff" + long * 3 + b"\xff\xff" + b"ab" * 300)


def cjson():
    for number, text in enumerate((
        b"[1,-2.5e3,0x1F,null,true,false,\"a\\u00e9\\ud83d\\ude00\\n\\/\"]",
        b"{\"a\":{\"b\":[[],{}]},\"1\":2,\"a\":3}",
        b"[1e400,-1e400,nan,Infinity,-inf]",
        b"9007199254740993",
        b"\"\\\\\\\"\\b\\f\\t\"",
        b"[" * 40 + b"]" * 40,
        b" {\t\"x\" :\r\n 1.0e-5 } ",
        b"[1,2,,]",
        b"\"\\ud800\"",
    )):
        for options in (0, 2, 8, 0x80):
            write("cjson", f"{number}-{options}", bytes([SERVERS[number % 3], options]) + text)


def cmsgpack():
    for number, message in enumerate((
        b"\x00\x7f\xff\xe0\xc0\xc2\xc3",
        b"\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xd0\x80\xd1\x80\0\xd2\x80\0\0\0\xd3\x80\0\0\0\0\0\0\0",
        b"\xca\x3f\x80\0\0\xcb\x3f\xf0\0\0\0\0\0\0",
        b"\xa3abc\xd9\x01a\xda\0\x01a\xdb\0\0\0\x01a\xc4\x01a\xc5\0\x01a\xc6\0\0\0\x01a",
        b"\x93\x01\x02\x03\xdc\0\x01\xa1x\xdd\0\0\0\x01\xc0",
        b"\x82\xa1a\x01\x02\xa1b\xde\0\x01\x01\x02\xdf\0\0\0\x01\x01\x02",
        b"\x91" * 20 + b"\x01",
        b"\x81\x91\x01\x02",
        b"\xd4\x01a\xc7\x01\x01a",
    )):
        write("cmsgpack", f"{number}", bytes([SERVERS[number % 3], number]) + message)


def structures():
    for number, (form, data) in enumerate((
        (b"bBhHlLiI", bytes(range(40))),
        (b"<i3>i5=I8", bytes(range(20))),
        (b"fdT", bytes(20)),
        (b"sc4xs", b"text\0abcdxmore\0"),
        (b"Bc0Bc0", b"\x03abc\x01x"),
        (b"!4bi!8bd", bytes(40)),
        (b"i32I16", bytes(range(48))),
        (b"c0", b"abc"),
        (b"i99", b""),
    )):
        write("struct", f"{number}", SERVERS[number % 3:][:1] + form + b"\n" + data)


BODIES = {
    "read": "return redis.call('GET', KEYS[1])",
    "table": "local t = {} for i = 1, 10 do t[i] = i end table.sort(t, function(a, b) return a > b end) return t",
    "strings": "return ('%s %q'):format(ARGV[1], ARGV[2]):gsub('%w+', string.upper)",
    "coroutine": "local c = coroutine.wrap(function(a) while true do a = coroutine.yield(a) end end) c(1) return c(2)",
    "meta": "return setmetatable({}, {__index = function(t, k) return k end, __tostring = function() return 'x' end}).y",
    "json": "return cjson.encode({a = {1, 2, cjson.null}, b = ARGV})",
    "message": "return {cmsgpack.unpack(cmsgpack.pack(1, 'a', {x = 1.5}))}",
    "struct": "return {struct.unpack('<i4s', struct.pack('<i4s', 7, 'text'))}",
    "bit": "return bit.tohex(bit.bxor(2^31, bit.lshift(1, 5)))",
    "resp3": "redis.setresp(3) return {map = {a = {set = {b = true}}, c = {double = 1.5}}}",
    "errors": "local ok, e = pcall(error, {err = 'MINE x'}) redis.log(redis.LOG_WARNING, tostring(e)) return e",
    "spin": "while true do pcall(function() while true do end end) end",
    "deep": "local t = {} for i = 1, 300 do t = {t} end return t",
    "load": "return loadstring('return ...')(ARGV[1])",
    "call": "return {redis.pcall('SET', KEYS[1], 1), redis.error_reply('ERR x'), redis.status_reply('OK'), redis.sha1hex('')}",
}


# What machine code treats in a way of its own: numbers, loops, tables, upvalues.
COMPUTATIONS = {
    "sums": "local n = 0 for j = 10, 1, -3 do n = n + j % 3 - j // 2 + j ^ 2 end return n .. ''",
    "recursion": "local function f(n) if n < 2 then return n end return f(n - 1) + f(n - 2) end return f(10)",
    "arrays": "local t = {} for j = 1, 50 do t[j * 2 % 51] = j end local n = 0 for k, v in ipairs(t) do n += k * v end return n",
    "upvalues": "local n = 0 local function f() n = n + 1 return n end f() f() return f() + n",
    "wrong": "local ok, e = pcall(function() return ARGV[1] + {} end) return e",
    "varargs": "local function f(...) local a, b = ... return select('#', ...), b, a end return {f(1, nil, 3)}",
    "compare": "return {0/0 == 0/0, -0 < 0, 'a' < 'b', not (1 < 2), ARGV[2] == 2}",
    "math": "return math.floor(-2.5) .. math.max(1, 0/0) .. math.abs(-2^63) .. math.fmod(-5, 3)",
}


def library(name, body):
    return f"#!lua name={name}\nredis.register_function('f', function(KEYS, ARGV) {body} end)\n".encode()


def native():
    for name, body in {**BODIES, **COMPUTATIONS}.items():
        write("native", name, library(name, body))
    for seed in range(12):
        write("native", f"bytes-{seed}", noise(seed))


def noise(seed):
    state, data = seed + 1, bytearray([seed])
    for _ in range(60 + 40 * seed):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        data.append(state >> 56)
    return bytes(data)


def libraries():
    for name, body in BODIES.items():
        write("libraries", name, library(name, body))
    flags = "#!lua name=flags\nredis.register_function{function_name='f', callback=function() return true end, " \
            "flags={'no-writes', 'allow-stale'}, description='d'}\nredis.log(redis.LOG_DEBUG, 'loaded')\n"
    write("libraries", "flags", flags.encode())
    # Bytes that commands are made of; the generator of `libraries` decides what they mean.
    for seed in range(12):
        write("libraries", f"commands-{seed}", noise(seed))


def cluster():
    def pieces(*all_of_them):
        return b"".join(struct.pack("<H", len(piece)) + piece for piece in all_of_them)

    # A message begins with its kind, what a replica is told with its version.
    kinds = pieces(*(bytes([kind]) + bytes(120) for kind in range(16)))
    for way in range(3):
        write("cluster", f"kinds-{way}", bytes([way]) + kinds)
        write("cluster", f"noise-{way}", bytes([way]) + pieces(noise(way), noise(way + 3)))


shutil.rmtree(HERE / "seeds", ignore_errors=True)
for make in (shebang, payload, cjson, cmsgpack, structures, libraries, native, cluster):
    make()
