-- Bytes that are not text: packs the arguments in three ways, keeps them in KEYS[1], and answers them as they were.
local packed = cmsgpack.pack(ARGV)
local sealed = struct.pack('>I4s', #ARGV, ARGV[1])
redis.call('HSET', KEYS[1], 'packed', packed, 'sealed', sealed, 'sum', redis.sha1hex(packed))
local mask = bit.tohex(bit.bxor(#packed, 0xff))
return { cmsgpack.unpack(packed), sealed, mask, cjson.decode(cjson.encode(cmsgpack.unpack(packed))) }
