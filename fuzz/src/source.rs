//! Sources of libraries, made of random bytes by the grammar of the language and the names that libraries see.

use arbitrary::{Result, Unstructured};

/// How deep blocks and expressions are nested.
const DEEPEST: u32 = 4;

/// What functions can call, and a hint of what it takes: `n` a number, `s` a string, `t` a table, `f` a function, `_`
/// anything.
const FUNCTIONS: [(&str, &str); 99] = [
    ("assert", "__"),
    ("collectgarbage", "s"),
    ("error", "_n"),
    ("gcinfo", ""),
    ("getmetatable", "_"),
    ("ipairs", "t"),
    ("load", "f"),
    ("loadstring", "s"),
    ("next", "t_"),
    ("pairs", "t"),
    ("pcall", "f_"),
    ("rawequal", "__"),
    ("rawget", "t_"),
    ("rawset", "t__"),
    ("select", "n__"),
    ("setmetatable", "tt"),
    ("tonumber", "_n"),
    ("tostring", "_"),
    ("type", "_"),
    ("unpack", "tnn"),
    ("xpcall", "ff"),
    ("string.byte", "snn"),
    ("string.char", "nn"),
    ("string.find", "ssn_"),
    ("string.format", "s__"),
    ("string.gmatch", "ss"),
    ("string.gsub", "ss_n"),
    ("string.len", "s"),
    ("string.lower", "s"),
    ("string.match", "ssn"),
    ("string.rep", "sn"),
    ("string.reverse", "s"),
    ("string.sub", "snn"),
    ("string.upper", "s"),
    ("string.dump", "f"),
    ("string.gfind", "ss"),
    ("table.concat", "tsnn"),
    ("table.foreach", "tf"),
    ("table.foreachi", "tf"),
    ("table.getn", "t"),
    ("table.insert", "tn_"),
    ("table.maxn", "t"),
    ("table.remove", "tn"),
    ("table.setn", "tn"),
    ("table.sort", "tf"),
    ("math.abs", "n"),
    ("math.ceil", "n"),
    ("math.floor", "n"),
    ("math.fmod", "nn"),
    ("math.frexp", "n"),
    ("math.ldexp", "nn"),
    ("math.log", "n"),
    ("math.max", "nn"),
    ("math.modf", "n"),
    ("math.pow", "nn"),
    ("math.random", "nn"),
    ("math.randomseed", "n"),
    ("coroutine.create", "f"),
    ("coroutine.resume", "__"),
    ("coroutine.running", ""),
    ("coroutine.status", "_"),
    ("coroutine.wrap", "f"),
    ("coroutine.yield", "__"),
    ("bit.tobit", "n"),
    ("bit.bnot", "n"),
    ("bit.band", "nn"),
    ("bit.bor", "nn"),
    ("bit.bxor", "nn"),
    ("bit.lshift", "nn"),
    ("bit.rshift", "nn"),
    ("bit.arshift", "nn"),
    ("bit.rol", "nn"),
    ("bit.bswap", "n"),
    ("bit.tohex", "nn"),
    ("struct.pack", "sns"),
    ("struct.unpack", "ssn"),
    ("struct.size", "s"),
    ("cjson.encode", "_"),
    ("cjson.decode", "s"),
    ("cjson.new", ""),
    ("cjson.encode_sparse_array", "_nn"),
    ("cjson.encode_max_depth", "n"),
    ("cjson.decode_max_depth", "n"),
    ("cjson.encode_number_precision", "n"),
    ("cjson.encode_keep_buffer", "_"),
    ("cjson.encode_invalid_numbers", "_"),
    ("cjson.decode_invalid_numbers", "_"),
    ("cmsgpack.pack", "__"),
    ("cmsgpack.unpack", "s"),
    ("cmsgpack.unpack_one", "sn"),
    ("cmsgpack.unpack_limit", "snn"),
    ("redis.call", "ss"),
    ("redis.pcall", "ss_"),
    ("redis.error_reply", "_"),
    ("redis.status_reply", "_"),
    ("redis.sha1hex", "_"),
    ("redis.setresp", "n"),
    ("redis.set_repl", "n"),
    ("redis.acl_check_cmd", "ss"),
];

const NUMBERS: [&str; 20] = [
    "0", "1", "2", "3", "-1", "7", "16", "255", "1000", "-0", "0.5", "1e15", "2^31", "2^53", "-2^63", "1e300", "0/0",
    "1/0", "#ARGV", "i",
];

const STRINGS: [&str; 22] = [
    "''",
    "'a'",
    "'key'",
    "'get'",
    "'PING'",
    "'\\0\\255\\r\\n'",
    "'%d %s %5.2f %q'",
    "'(.-)%s*$'",
    "'%f[%w]%b()'",
    "'[^%z]+'",
    "'i4>I2 s c0'",
    "'<!8bBhHlLTfdsc3xx'",
    "'[1,{\"a\":null},\"\\\\u0041\"]'",
    "'{\"x\":1e5}'",
    "'\\147\\1\\162ab\\203'",
    "'return 1'",
    "'__index'",
    "'ok'",
    "'err'",
    "KEYS[1]",
    "ARGV[1]",
    "s",
];

const TABLES: [&str; 14] = [
    "{}",
    "{1,2,3}",
    "{a=1}",
    "{ok='fine'}",
    "{err='ERR it is'}",
    "{double=1.5}",
    "{map={a={set={1}}}}",
    "{big_number='12'}",
    "{verbatim_string={format='txt',string='x'}}",
    "KEYS",
    "ARGV",
    "t",
    "_G",
    "redis",
];

const OPERATORS: [&str; 14] = ["+", "-", "*", "/", "%", "^", "..", "==", "~=", "<", "<=", "and", "or", "//"];

const FLAGS: [&str; 7] = ["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys", "bad", ""];

/// A library that is right in its frame, or nearly.
pub fn library(u: &mut Unstructured<'_>) -> Result<String> {
    let mut code = format!("#!lua name=lib{}\n", u.int_in_range(0..=3u8)?);
    code.push_str("local i, s, t = 1, 'text', {}\n");
    if u.ratio(1, 4)? {
        block(u, &mut code, 1)?;
    }
    for _ in 0..u.int_in_range(1..=3u8)? {
        registration(u, &mut code)?;
    }
    Ok(code)
}

fn registration(u: &mut Unstructured<'_>, code: &mut String) -> Result<()> {
    let number = u.int_in_range(0..=7u8)?;
    let mut body = String::from("function(KEYS, ARGV)\n");
    block(u, &mut body, 0)?;
    body.push_str("return ");
    expression(u, &mut body, 0)?;
    body.push_str("\nend");
    if u.ratio(1, 3)? {
        let flag = u.choose(&FLAGS)?;
        code.push_str(&format!(
            "redis.register_function{{function_name='f{number}', callback={body}, flags={{'{flag}'}}, description='d'}}\n"
        ));
    } else {
        code.push_str(&format!("redis.register_function('f{number}', {body})\n"));
    }
    Ok(())
}

fn block(u: &mut Unstructured<'_>, code: &mut String, depth: u32) -> Result<()> {
    for _ in 0..u.int_in_range(0..=3u8)? {
        statement(u, code, depth)?;
        code.push('\n');
    }
    Ok(())
}

fn statement(u: &mut Unstructured<'_>, code: &mut String, depth: u32) -> Result<()> {
    if depth >= DEEPEST {
        return call(u, code, depth);
    }
    match u.int_in_range(0..=13u8)? {
        0..=2 => call(u, code, depth)?,
        3 => {
            code.push_str(u.choose(&["i = ", "s = ", "t = ", "local i = ", "local s = ", "local t = "])?);
            expression(u, code, depth + 1)?;
        }
        4 => {
            code.push_str("t[");
            expression(u, code, depth + 1)?;
            code.push_str("] = ");
            expression(u, code, depth + 1)?;
        }
        5 => around(u, code, "if ", " then\n", "end", depth)?,
        6 => around(u, code, "while ", " do\n", "if i == 1 then break end end", depth)?,
        7 => around(u, code, "for i = 1, ", " do\n", "end", depth)?,
        8 => around(u, code, "for i, s in pairs(", ") do\n", "end", depth)?,
        9 => {
            code.push_str("repeat\n");
            block(u, code, depth + 1)?;
            code.push_str("until ");
            expression(u, code, depth + 1)?;
        }
        10 => {
            code.push_str("do return ");
            expression(u, code, depth + 1)?;
            code.push_str(" end");
        }
        11 => {
            code.push_str("t = setmetatable({}, {__index = ");
            expression(u, code, depth + 1)?;
            code.push_str(u.choose(&[", __newindex = ", ", __call = ", ", __concat = ", ", __lt = ", ", __len = "])?);
            function(u, code, depth + 1)?;
            code.push_str("})");
        }
        12 => code.push_str("i += 1"),
        _ => {
            code.push_str(u.choose(&["redis.register_function('g', print)", "x = 1", "redis.y = 1", "s.x = 1"])?);
        }
    }
    Ok(())
}

/// A statement with an expression in its head and a block in it.
fn around(u: &mut Unstructured<'_>, code: &mut String, start: &str, middle: &str, end: &str, depth: u32) -> Result<()> {
    code.push_str(start);
    expression(u, code, depth + 1)?;
    code.push_str(middle);
    block(u, code, depth + 1)?;
    code.push_str(end);
    Ok(())
}

fn expression(u: &mut Unstructured<'_>, code: &mut String, depth: u32) -> Result<()> {
    if depth >= DEEPEST {
        return leaf(u, code);
    }
    match u.int_in_range(0..=11u8)? {
        0..=2 => leaf(u, code)?,
        3..=6 => call(u, code, depth + 1)?,
        7 | 8 => {
            code.push('(');
            expression(u, code, depth + 1)?;
            code.push_str(&format!(" {} ", u.choose(&OPERATORS)?));
            expression(u, code, depth + 1)?;
            code.push(')');
        }
        9 => {
            code.push('{');
            for _ in 0..u.int_in_range(0..=3u8)? {
                code.push_str(u.choose(&["", "", "a=", "[i]="])?);
                expression(u, code, depth + 1)?;
                code.push(',');
            }
            code.push('}');
        }
        10 => function(u, code, depth + 1)?,
        _ => {
            code.push_str(u.choose(&["-(", "not (", "#("])?);
            expression(u, code, depth + 1)?;
            code.push(')');
        }
    }
    Ok(())
}

fn function(u: &mut Unstructured<'_>, code: &mut String, depth: u32) -> Result<()> {
    code.push_str("function(s, t)\n");
    block(u, code, depth + 1)?;
    code.push_str("return ");
    expression(u, code, depth + 1)?;
    code.push_str(" end");
    Ok(())
}

fn call(u: &mut Unstructured<'_>, code: &mut String, depth: u32) -> Result<()> {
    let (name, hints) = u.choose(&FUNCTIONS)?;
    code.push_str(name);
    code.push('(');
    for (position, hint) in hints.chars().enumerate() {
        if position > 0 {
            code.push_str(", ");
        }
        match hint {
            'n' if u.ratio(7, 8)? => code.push_str(u.choose(&NUMBERS)?),
            's' if u.ratio(7, 8)? => code.push_str(u.choose(&STRINGS)?),
            't' if u.ratio(7, 8)? => code.push_str(u.choose(&TABLES)?),
            'f' if depth < DEEPEST => function(u, code, depth + 1)?,
            _ => expression(u, code, depth + 1)?,
        }
    }
    code.push(')');
    Ok(())
}

fn leaf(u: &mut Unstructured<'_>, code: &mut String) -> Result<()> {
    code.push_str(match u.int_in_range(0..=4u8)? {
        0 => u.choose(&["nil", "true", "false", "cjson.null"])?,
        1 => u.choose(&NUMBERS)?,
        2 => u.choose(&STRINGS)?,
        3 => u.choose(&TABLES)?,
        _ => u.choose(&["i", "s", "t"])?,
    });
    Ok(())
}
