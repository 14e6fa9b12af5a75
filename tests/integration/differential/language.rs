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
