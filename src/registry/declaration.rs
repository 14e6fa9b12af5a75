//! The first line of a script: `#!lua [flags=<flag>[,<flag>...]] ...`.

use super::error::RegistryError;
use super::flags::FunctionFlags;
use super::tokens::{self, Quoting};

/// What the first line of a script says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The flags; None without such a line.
    pub flags: Option<FunctionFlags>,
    /// Where the code begins: at the end of the first line, so that line numbers are those of the whole text.
    pub body: usize,
}

/// Which engines a server knows, and how it says that it does not know one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engines {
    /// `lua` alone, in lower case. It is checked before the other words.
    Lua,
    /// Those that its modules have registered, in any case. It is checked after the other words.
    Any,
}

const PREFIX: &[u8] = b"#!";

/// Whether the first line of `code` names an engine other than Lua, and all else in it is right.
pub fn names_other_engine(code: &[u8], quoting: Quoting) -> bool {
    let words = code.starts_with(PREFIX).then(|| words(code, quoting).ok()).flatten();
    words.is_some_and(|(words, _)| !words[0][PREFIX.len()..].eq_ignore_ascii_case(b"lua"))
}

/// Reads the first line of `code`.
///
/// # Errors
/// The server's text for the first thing that is wrong, in its order of checks.
pub fn parse(code: &[u8], quoting: Quoting, engines: Engines) -> Result<Declaration, RegistryError> {
    let (declaration, engine) = read(code, quoting, engines)?;
    engine.map(|()| declaration)
}

/// The flags that decide whether `code` may run in the server's present state, before it is known whether there is such
/// an engine. None where the first line is wrong, as for a script without one.
pub fn flags(code: &[u8], quoting: Quoting, engines: Engines) -> Option<FunctionFlags> {
    read(code, quoting, engines).ok()?.0.flags
}

/// Reads the first line of `code`: what it says, and whether there is such an engine.
fn read(
    code: &[u8],
    quoting: Quoting,
    engines: Engines,
) -> Result<(Declaration, Result<(), RegistryError>), RegistryError> {
    if !code.starts_with(PREFIX) {
        return Ok((Declaration { flags: None, body: 0 }, Ok(())));
    }
    let (words, body) = words(code, quoting)?;
    let (engine, options) = words.split_first().ok_or_else(invalid_engine)?;
    if engines == Engines::Lua && **engine != *b"#!lua" {
        return Err(text(b"Unexpected engine in script shebang: ", engine));
    }
    let mut flags = FunctionFlags::empty();
    for option in options {
        let list = option.strip_prefix(b"flags=").ok_or_else(|| text(b"Unknown lua shebang option: ", option))?;
        if list.is_empty() {
            continue;
        }
        for flag in list.split(|&byte| byte == b',') {
            let known = FunctionFlags::from_exact_word(flag);
            flags |= known.ok_or_else(|| text(b"Unexpected flag in script shebang: ", flag))?;
        }
    }
    let name = engine.strip_prefix(PREFIX).unwrap_or(engine);
    let engine = if name.eq_ignore_ascii_case(b"lua") {
        Ok(())
    } else {
        Err(RegistryError::FirstLine([b"ERR Could not find scripting engine '", name, b"'"].concat()))
    };
    Ok((Declaration { flags: Some(flags), body }, engine))
}

const INVALID_ENGINE: &str = "ERR Invalid engine in script shebang";

fn invalid_engine() -> RegistryError {
    RegistryError::FirstLine(INVALID_ENGINE.into())
}

/// The words of the first line, and where it ends.
fn words(code: &[u8], quoting: Quoting) -> Result<(tokens::Words<'_>, usize), RegistryError> {
    // The server looks for the line's end in a C string: a NUL in front of it hides it.
    let end = code
        .iter()
        .position(|&byte| byte == b'\n' || byte == 0)
        .filter(|&end| code[end] == b'\n')
        .ok_or_else(|| RegistryError::FirstLine("ERR Invalid script shebang".into()))?;
    let words = tokens::split(&code[..end], quoting).filter(|words| !words.is_empty());
    Ok((words.ok_or_else(invalid_engine)?, end))
}

fn text(what: &[u8], word: &[u8]) -> RegistryError {
    RegistryError::FirstLine([b"ERR ", what, word].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(code: &str, engines: Engines) -> Result<Declaration, String> {
        parse(code.as_bytes(), Quoting::Ends, engines).map_err(|error| error.to_string())
    }

    #[test]
    fn a_script_without_a_first_line_declares_nothing() {
        for code in ["", "return 1", "#", " #!lua\n", "-- #!lua\n"] {
            assert_eq!(parsed(code, Engines::Lua), Ok(Declaration { flags: None, body: 0 }), "{code}");
        }
    }

    #[test]
    fn flags_add_up() {
        let (writes, oom) = (FunctionFlags::NO_WRITES, FunctionFlags::ALLOW_OOM);
        for (line, flags) in [
            ("#!lua", FunctionFlags::empty()),
            ("#!lua flags=", FunctionFlags::empty()),
            ("#!lua flags=no-writes", writes),
            ("#!lua\tflags=no-writes,no-writes\r", writes),
            ("#!lua flags=no-writes flags=allow-oom", writes | oom),
            ("#!lua 'flags=no-writes,allow-oom'", writes | oom),
        ] {
            let body = line.len();
            assert_eq!(
                parsed(&format!("{line}\nreturn 1"), Engines::Lua),
                Ok(Declaration { flags: Some(flags), body })
            );
        }
    }

    #[test]
    fn a_wrong_first_line_is_refused_in_the_servers_words() {
        for (code, on_redis, on_valkey) in [
            ("#!lua", "ERR Invalid script shebang", "ERR Invalid script shebang"),
            ("#!lua\0\n", "ERR Invalid script shebang", "ERR Invalid script shebang"),
            ("#!lua 'x\n", INVALID_ENGINE, INVALID_ENGINE),
            ("#!js\n", "ERR Unexpected engine in script shebang: #!js", "ERR Could not find scripting engine 'js'"),
            ("#! lua\n", "ERR Unexpected engine in script shebang: #!", "ERR Unknown lua shebang option: lua"),
            ("#!lua name=x\n", "ERR Unknown lua shebang option: name=x", "ERR Unknown lua shebang option: name=x"),
            ("#!lua FLAGS=\n", "ERR Unknown lua shebang option: FLAGS=", "ERR Unknown lua shebang option: FLAGS="),
            ("#!lua flags=,\n", "ERR Unexpected flag in script shebang: ", "ERR Unexpected flag in script shebang: "),
            (
                "#!lua flags=no-writes,No-Writes\n",
                "ERR Unexpected flag in script shebang: No-Writes",
                "ERR Unexpected flag in script shebang: No-Writes",
            ),
        ] {
            assert_eq!(parsed(code, Engines::Lua), Err(on_redis.to_owned()), "{code}");
            assert_eq!(parsed(code, Engines::Any), Err(on_valkey.to_owned()), "{code}");
        }
        assert!(parsed("#!LUA\n", Engines::Any).is_ok());
    }

    #[test]
    fn flags_count_although_there_is_no_such_engine() {
        for (code, on_redis, on_valkey) in [
            ("#!js\n", None, Some(FunctionFlags::empty())),
            ("#!js flags=no-writes\n", None, Some(FunctionFlags::NO_WRITES)),
            ("#!lua flags=no-writes\n", Some(FunctionFlags::NO_WRITES), Some(FunctionFlags::NO_WRITES)),
            ("#!js flags=x\n", None, None),
            ("return 1", None, None),
        ] {
            assert_eq!(flags(code.as_bytes(), Quoting::Ends, Engines::Lua), on_redis, "{code}");
            assert_eq!(flags(code.as_bytes(), Quoting::Ends, Engines::Any), on_valkey, "{code}");
        }
    }

    #[test]
    fn another_engine_is_known_by_its_name_alone() {
        for (code, other) in
            [("#!js\nx", true), ("#!js flags=x\n", true), ("#!LUA\n", false), ("#!js", false), ("return", false)]
        {
            assert_eq!(names_other_engine(code.as_bytes(), Quoting::Ends), other, "{code}");
        }
    }
}
