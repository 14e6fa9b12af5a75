//! The language itself: numbers, strings, tables, and the functions that work on them.

/// Numbers, besides those that become arguments.
pub const NUMBERS: &[&str] = &[
    "0.3/3",
    "1700000000123456",
    "99999999999999",
    "99999999999999.9",
    "99999999999999.5",
    "1e14",
    "-1e14",
    "0.1+0.2",
    "math.pi",
    "-(0/0)",
    "math.huge-math.huge",
    "math.sqrt(-1)",
    "tonumber('nan')",
    "0.000099999999999999999",
    "9.9999999999999995",
    "2^-1074",
    "2^1023",
    "5%0",
    "-5.3%2",
    "5%math.huge",
    "-5%math.huge",
];

/// A body that makes texts of the number `$` in every way.
pub const NUMBER_TO_TEXT: &str = "local n, one = $, 1
    local texts = {tostring($), ($) .. '', tostring(n), n .. '', n .. ' ' .. n * one, tostring(-n), ('%s'):format(n)}
    texts[#texts + 1] = table.concat({n}) .. table.concat({n, n}, ' ')
    texts[#texts + 1] = ('x'):gsub('x', n) .. ('x'):gsub('x', {x = n})
    texts[#texts + 1] = ('%g %.3f %10.2e %q %5s'):format(n, n, n, n, n)
    texts[#texts + 1] = redis.sha1hex(n) .. #(n .. '') .. string.upper(n)
    texts[#texts + 1] = cmsgpack.pack(n) .. struct.pack('>d', n)
    texts[#texts + 1] = tostring(math.max(n, 1)) .. tostring(math.max(1, n)) .. tostring(math.min(n, 1))
    texts[#texts + 1] = tostring(n % 3) .. tostring(n % -3) .. tostring(n ^ 2) .. tostring(math.floor(n))
    return texts";

/// Bodies that give the same in every server.
pub const BODIES: &[&str] = &[
    // The ends of lines.
    "return [[a\r\nb\rc\n\rd\r\r]]",
    "return [[\r\na]] .. [[\n\rb]] .. [[\rc]]",
    "\r\n\r\nerror('line')",
    "\n\r\rerror('line')",
    "-- a comment\r return 5",
    "--[[ \r ]] error('line')",
    "return 'a\\\r\nb' .. 'c\\\rd' .. 'e\\\n\rf'",
    "return select(2, loadstring('\\r\\n\\rerror(1)'))",
    "return loadstring('\\r\\n\\rerror(1)', 'chunk')()",
    "return load((function() local n = 0 return function() n = n + 1 return n == 1 and '\\rreturn [[\\r\\r]]' or nil end end)())()",
    // Escapes.
    "return '\\x41\\u{41}\\z a' .. \"\\x41\\'\" .. [[\\x41]]",
    "return loadstring(\"return '\\\\x41'\")()",
    "--\\x41 '\nreturn '\\q\\65\\065\\n\\\\x41'",
    "--[==[ ' ]] ]==] return '\\z'",
    // Numbers.
    "return 0xfffffffffffffffff .. ''",
    "return 0x10000000000000000 + 0x1p4 .. ''",
    "return 0xffffffffffffffff .. ' ' .. 0X1P2 .. ' ' .. 0x1e+4",
    "return tonumber('0xfffffffffffffffff') .. tonumber('fffffffffffffffff', 16)",
    "return 1e400 .. ''",
    // Replacements and patterns.
    "return ('Hi {n}'):gsub('{n}', '50% off')",
    "return ('abc'):gsub('b', '%')",
    "return ('abc'):gsub('(b)', '%1%a%%%-%')",
    "return ('abc'):gsub('b', {b = '%a'})",
    "return {('x=%g g'):find('%g'), ('x=%G'):match('%G'), ('a-gz'):gsub('[%g-z]', '.'), ('%g-'):find('[^%g]')}",
    "return {('a\\0bc'):find('\\0b'), ('a\\0bc'):find('.\\0c') or 'none', ('a\\0.'):find('\\0.')}",
    "return {('a\\0bc'):match('.\\0c'), (('a\\0bc'):gsub('%a\\0x', '.')), pcall(string.find, 'a', '[\\0]') and 1 or 0}",
    "return {('abc'):find('', 10), ('abc'):find('', 4), ('abc'):find('b*', 10), ('abc'):match('()', 10)}",
    "return {('abc'):find('', 10, true), ('abc'):find('c', 10) or 'none', ('abc'):find('b', -10)}",
    // Positions of more than 32 bits, and what is no position.
    "return {('abc'):sub(-1e15, 1e15), ('abc'):sub(1e10), ('abc'):sub(-1e10, 2), ('abc'):sub(2, 2^32 + 1)}",
    "return {('abc'):sub(0/0, 1/0), ('abc'):sub(1/0, 0/0), ('abc'):sub('2', '0x3'), ('abc'):sub(1.9, -1.9)}",
    "return {('abc'):byte(-1e10, 1e10)}",
    "return {('abc'):byte(2^32 + 1), ('abc'):byte(2^63, 2)}",
    "return {('abcab'):find('b', 1e10) or 'none', ('abcab'):find('b', -1e10), ('abcab'):match('.', 2^32) or 'none'}",
    "return {('aXaX'):gsub('X', 'y', 1e10)}",
    "return {('aXaX'):gsub('X', 'y', 2^32 + 1)}",
    "return {('x'):rep(2^32 + 2), ('x'):rep(-2^32 + 2), ('x'):rep(2^63)}",
    "return string.char(2^32 + 65, 0/0, 2^63) .. #string.char(65, 2^32, 66, 67, 68, 69, 70, 71)",
    "return {table.concat({'a', 'b', 'c'}, ',', 2^32 + 1, 2^32 + 2), table.concat({'a', 'b'}, ',', 1, -2^32)}",
    "return {unpack({'a', 'b', 'c'}, 2^32 + 2, 2^32 + 3)}",
    "local t = {1, 2, 3} return {table.remove(t, 2^32 + 1), #t}",
    "return math.ldexp(1.5, 1e10) .. ' ' .. math.ldexp(1.5, 2^32 + 1) .. ' ' .. math.ldexp(3, -2.9)",
    // Tables.
    "local t = {1, 2, 3} table.insert(t, 0, 'n') return {t, t[0]}",
    "local t = {1, 2, 3, [-1] = 'm'} table.insert(t, -2, 'n') return {t, t[0], t[-1], t[-2]}",
    "local t = {1, 2, 3} table.insert(t, 2^32 + 1, 'n') return t",
    "local t = {1, 2, 3} table.insert(t, 6, 'n') return {t, t[6]}",
    "local t = {} table.insert(t, -3, 'n') return {t, t[-3]}",
    // Formats.
    "return ('%s|%.3s|%5s|%q'):format('a\\0b', 'a\\0bc', 'a\\0', 'a\\0b')",
    "return #('%s %.150s'):format(('x'):rep(120) .. '\\0y', 'y') .. ('%s'):format(('x'):rep(98) .. '\\0y')",
    "return ('[%c][%5c][%-5c][%c%c]'):format(0, 256, 0, 65, 1e15)",
    "return ('c%%c %d%c'):format(1, 66)",
    "return ('[%.c][%.3c][%-+ #0.c][%05c][%-05c][%5.2c]'):format(0, 0, 0, 0, 0, 0)",
    "return {pcall(string.format, '%100c', 0) and 1 or 0, pcall(string.format, '%.100c', 0) and 1 or 0}",
    "return tonumber('7', 2^32 + 10) .. tonumber('ff', 16 - 2^32)",
    // Texts that end at a NUL.
    "return {pcall(assert, nil, 'a\\0b')}",
    "return {redis.error_reply('a\\0b c').err, redis.error_reply('a \\0b').err, redis.error_reply('\\0').err}",
    // Line ends around the message of an error.
    "return {redis.error_reply('\\r\\n\\t').err, redis.error_reply('-\\r\\nx').err, redis.error_reply('a\\r\\n').err}",
    "return {redis.error_reply('\\n \\na').err, redis.error_reply('a \\r\\nb').err, redis.error_reply(' \\n b \\n').err}",
    "return {redis.error_reply('\\n').err, redis.error_reply('').err, redis.error_reply('a \\n').err, redis.error_reply(' ').err}",
    "return {redis.status_reply('a\\0b').ok, redis.status_reply('a\\0b')}",
    // Functions.
    "return math.log(8, 2) .. ' ' .. math.log(100, 10)",
    "local log = math.log return log(8, 2) .. ''",
    "return {xpcall(function(...) return select('#', ...), 2 end, function() end, 1, 2)}",
    "return {xpcall(function() return 1, 2 end, 5)}",
    "return {xpcall(function() error('x') end, 5)}",
    "return {xpcall(error, nil)}",
    "return {xpcall(function() error('a') end, function(e) error('b') end)}",
    "return {xpcall(function() error({1}) end, function(e) return e[1], 2 end)}",
    "return {xpcall(function() local a = nil + 1 end, function(e) return type(e) end)}",
    "return {pcall(xpcall, error) and 1 or 0, xpcall(5, type)}",
    "local co = coroutine.wrap(function() return xpcall(coroutine.yield, function(e) return e end) end) return {co()}",
    "return type(tostring(setmetatable({}, {__tostring = function() return {} end})))",
    "return tostring(setmetatable({}, {__tostring = function() end}))",
    "return (tostring({}):gsub('%x%x%x+', 'address'))",
    "return (tostring(print or next):gsub('%x%x%x+', 'address'))",
    "return {select('#', pcall(error, {})), select('#', pcall(error, {err = 'x'})), select('#', pcall(error, {err = {}}))}",
    "return {select(3, pcall(error, {err = {'x'}}))}",
    // Errors: what is between the one who raises and the one who catches.
    "return {pcall(error, 'x', {}), select(2, pcall(error, 'x', 'y'))}",
    "local _, e = pcall(function() error('x', {}) end) return e",
    "local t = {} for level = -1, 4 do local function f() error('x', level) end t[#t + 1] = select(2, pcall(function() f() end)) end return t",
    "local t = {} for _, level in ipairs({'1', 1.9, 2^32 + 1, -2^31, 1e300, 0/0}) do t[#t + 1] = select(2, pcall(function() error('x', level) end)) end return t",
    "return {select('#', pcall(error)), select(2, pcall(error, 12)), select(2, pcall(function() error(12) end))}",
    "local function f(n) if n == 0 then error('deep') end local _, e = pcall(f, n - 1) error(e .. n, 0) end return select(2, pcall(f, 20))",
    "local function f(n) if n == 0 then error('deep') end f(n - 1) return 1 end return {pcall(f, 150), select(2, pcall(f, 3))}",
    "local n = 0 for i = 1, 300 do if not pcall(function() local t = {} t = t.x.y end) then n = n + 1 end end return n",
    "local v = 0 local ok, e = pcall(function() local a = 1 local function f() a = a + 1 return a end v = f error('x', 0) end) return {e, v(), v()}",
    "local t = setmetatable({}, {__index = function(t, k) error('no ' .. k, 2) end}) return select(2, pcall(function() return t.x end))",
    "local t = setmetatable({}, {__lt = function() error({err = 'lt'}) end}) return {pcall(function() return t < t end)}",
    "local t = setmetatable({}, {__concat = function() error('cat', 0) end}) return {pcall(function() return t .. 'x' end)}",
    "local t = setmetatable({}, {__tostring = function() error('text', 0) end}) return {pcall(tostring, t), select(2, pcall(function() return tostring(t) end))}",
    "local t = setmetatable({}, {__call = function() error('called', 0) end}) return {pcall(t), select(2, pcall(function() t() end))}",
    "return {pcall(table.sort, {3, 2, 1}, function() error('sort', 0) end)}",
    "return {pcall(string.gsub, 'aaa', 'a', function() error('gsub', 0) end)}",
    "return {pcall(string.gsub, 'ab', '.', function(c) local _, e = pcall(error, c, 0) if c == 'b' then error(e .. '!', 0) end return e end)}",
    "return {pcall(table.foreach, {1}, function() error('each', 0) end)}",
    "local n = 0 local f = function() n = n + 1 if n == 2 then error('read', 0) end return 'return 1 ' end return {load(f)}",
    "local _, e = pcall(loadstring('error(\"in chunk\", 0)')) return e",
    "local co = coroutine.create(function() coroutine.yield(1) error('later', 0) end) coroutine.resume(co) return {coroutine.resume(co)}",
    "local co = coroutine.create(function() local function f() coroutine.yield(1) end f() local function g() error('g', 0) end g() end) coroutine.resume(co) return {coroutine.resume(co)}",
    "local co = coroutine.create(function() coroutine.yield(1) return select(2, pcall(error, 'in', 0)) end) coroutine.resume(co) return {coroutine.resume(co)}",
    "local co = coroutine.create(function() coroutine.yield(1) local _, e = pcall(string.gsub, 'a', 'a', function() error('g', 0) end) error(e .. '!', 0) end) coroutine.resume(co) return {coroutine.resume(co)}",
    "local f = coroutine.wrap(function() coroutine.yield() error('wrapped', 0) end) f() return {pcall(f)}",
    "local f = coroutine.wrap(function() error({err = 'table'}) end) return {pcall(f)}",
    "local co = coroutine.create(function() pcall(error, 'a') return coroutine.status(coroutine.running()) end) return {coroutine.resume(co)}",
    "local inner = coroutine.create(function() error('inner', 0) end) local outer = coroutine.create(function() local _, e = coroutine.resume(inner) error(e .. ' outer', 0) end) return {coroutine.resume(outer)}",
    "return {xpcall(function() local function f() error('x', 0) end f() end, function(e) return pcall(error, e .. '!', 0) and 1 or e .. '?' end)}",
    "return {xpcall(function() error('a', 0) end, function(e) local _, f = xpcall(function() error('b', 0) end, function(g) return g .. 'c' end) return e .. f end)}",
    "return {xpcall(function() error('a', 0) end, function() error('b', 0) end)}",
    "local n = 0 local ok = xpcall(function() error('a') end, function(e) n = n + 1 error(e) end) return {n > 0 and 1, ok and 1 or 0}",
    "local _, e = pcall(redis.call, 'INCR') return type(e) .. e",
    "local _, e = pcall(function() return redis.call('nosuch', 'x') end) return e",
    "local t = {} for i = 1, 3 do t[i] = select(2, pcall(cjson.decode, ('['):rep(i) .. 'bad')) end return #t",
    "pcall(error, 'caught') error({err = 'MINE and gone'})",
    "pcall(error, 'caught') return redis.call('nosuch')",
    "local function f() error('gone', 0) end pcall(f) f()",
    "return {pcall(coroutine.create, math.floor)}",
    "return {pcall(coroutine.wrap, 1)}",
    "return coroutine.wrap(redis.sha1hex)('x')",
    "local c = coroutine.create(function(a) return a + coroutine.yield(a) end) return {coroutine.resume(c, 1)}",
    // The names of chunks.
    "return select(2, pcall(loadstring(\"error('x') --\" .. ('a'):rep(50))))",
    "return select(2, pcall(loadstring(\"error('x')\", '@' .. ('a'):rep(52) .. 'bcd')))",
    "return select(2, pcall(loadstring(\"error('x')\", '@' .. ('a'):rep(52))))",
    "return select(2, pcall(loadstring(\"error('x')\", '=' .. ('a'):rep(70))))",
    "return select(2, pcall(loadstring(\"error('x')\", 'one\\ntwo')))",
    "return select(2, pcall(loadstring(\"error('x')\", '')))",
];

/// What is nested or chained: the beginning, what is repeated 1,000 times, and the end of a body.
pub const CHAINS: &[[&str; 3]] = &[
    ["local x = 1 return 1", " or x", ""],
    ["local x = 1 return x", " and x", ""],
    ["local x = 1 return x", " + x", ""],
    ["local x = 1 if x == 2 then return 1 ", "elseif x == 3 then return 2 ", "else return 4 end"],
    ["local f f = function() return f end return f", "()", " and 1"],
    ["local t = {} function t.a() return t end t.x = 5 return t", ":a()", ".x"],
    ["local t = {} t.a = t t.x = 5 return t", ".a", ".x"],
];
