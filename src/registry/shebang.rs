//! The first line of a library: `#!<engine> name=<name> [keys=declared]`. The last word is the module's own.

use memchr::memchr2;
use smallvec::SmallVec;

use super::error::RegistryError;
use super::name::is_valid_name;
use super::tokens;

pub use super::tokens::Quoting;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The engine as the client spelled it; see [`check_engine`](Self::check_engine).
    pub engine: SmallVec<[u8; 16]>,
    /// The name of the library, a valid one.
    pub name: Box<str>,
    /// Whether its functions may reach no keys but those that a call declares.
    pub keys_declared: bool,
    /// Where the first `\n` stands. The chunk starts there, so that its line numbers are those of the whole code.
    pub body: usize,
}

impl Header {
    /// Refuses every engine but `lua`, in any case.
    pub fn check_engine(&self) -> Result<(), RegistryError> {
        if self.engine.eq_ignore_ascii_case(b"lua") {
            Ok(())
        } else {
            Err(RegistryError::EngineNotFound(self.engine.to_vec()))
        }
    }
}

/// Reads the first line of `code`. Everything but the engine is checked, in the order in which the server does it.
pub fn parse(code: &[u8], quoting: Quoting) -> Result<Header, RegistryError> {
    if !code.starts_with(b"#!") {
        return Err(RegistryError::MissingMetadata);
    }
    // The server looks for the line's end in a C string: a NUL in front of it hides it.
    let body = memchr2(b'\n', 0, code).filter(|&end| code[end] == b'\n').ok_or(RegistryError::InvalidMetadata)?;

    let mut words = tokens::split(&code[..body], quoting).ok_or(RegistryError::InvalidMetadata)?.into_iter();
    let engine = words.next().ok_or(RegistryError::InvalidMetadata)?;
    let engine = engine[2..].into();

    let (mut name, mut keys_declared) = (None, false);
    for word in words {
        if word.eq_ignore_ascii_case(b"keys=declared") {
            keys_declared = true;
            continue;
        }
        let Some(value) = name_value(&word) else {
            return Err(RegistryError::UnknownMetadata(word.into_owned()));
        };
        if name.is_some() {
            return Err(RegistryError::RepeatedName);
        }
        name = Some(SmallVec::<[u8; 64]>::from_slice(value));
    }
    let name = name.ok_or(RegistryError::MissingName)?;
    if !is_valid_name(&name) {
        return Err(RegistryError::InvalidName);
    }
    let name = str::from_utf8(&name).map_err(|_| RegistryError::InvalidName)?;
    Ok(Header { engine, name: name.into(), keys_declared, body })
}

/// What follows `name=`, in any case.
fn name_value(word: &[u8]) -> Option<&[u8]> {
    let (key, value) = word.split_at_checked(5)?;
    key.eq_ignore_ascii_case(b"name=").then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(code: &[u8]) -> Result<Header, RegistryError> {
        super::parse(code, Quoting::Ends)
    }

    fn refusal(code: &[u8]) -> String {
        match parse(code).and_then(|header| header.check_engine()) {
            Ok(()) => panic!("accepted: {}", String::from_utf8_lossy(code)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_plain_header_gives_engine_name_and_body() {
        let code = b"#!lua name=mylib\nreturn 1";
        let header = parse(code).unwrap();
        assert_eq!(&*header.engine, b"lua");
        assert_eq!(&*header.name, "mylib");
        assert_eq!(&code[header.body..], b"\nreturn 1");
        assert_eq!(header.check_engine(), Ok(()));
    }

    #[test]
    fn every_accepted_spelling_loads() {
        for line in [
            "#!lua name=c",
            "#!LuA NaMe=c",
            "#!lua name=c\r",
            "#!lua\tname=c  ",
            "#!\"lua\" name=c",
            "#!lua name=\"c\"",
            "#!lua \"name=c\"",
            "#!lua 'name=c'",
            "#!lua \"na\\x6de=c\"",
            "#!lua \x0b name=c",
        ] {
            let header = parse(format!("{line}\n").as_bytes()).unwrap();
            assert_eq!(&*header.name, "c", "{line}");
            assert_eq!(header.check_engine(), Ok(()), "{line}");
        }
    }

    #[test]
    fn a_library_may_bind_itself_to_the_declared_keys() {
        for (line, keys_declared) in [
            ("#!lua name=c", false),
            ("#!lua name=c keys=declared", true),
            ("#!lua KEYS=Declared name=c", true),
            ("#!lua name=c keys=declared keys=declared", true),
        ] {
            assert_eq!(parse(format!("{line}\n").as_bytes()).unwrap().keys_declared, keys_declared, "{line}");
        }
        for word in ["keys=", "keys=any", "keys=declared,", "keys"] {
            let refused = refusal(format!("#!lua name=c {word}\n").as_bytes());
            assert_eq!(refused, format!("ERR Invalid metadata value given: {word}"));
        }
    }

    #[test]
    fn the_body_may_be_empty_and_may_hold_nul() {
        assert_eq!(parse(b"#!lua name=c\n").unwrap().body, 12);
        assert_eq!(parse(b"#!lua name=c\n\0\xff").unwrap().body, 12);
    }

    #[test]
    fn code_without_a_shebang_is_missing_its_metadata() {
        for code in [&b""[..], b"#", b"return 1\n", b" #!lua name=c\n", b"\"#!lua\" name=c\n"] {
            assert_eq!(refusal(code), "ERR Missing library metadata");
        }
    }

    #[test]
    fn a_first_line_that_does_not_end_is_invalid() {
        for code in [&b"#!"[..], b"#!lua name=c", b"#!lua name=c\0\nreturn", b"#!lua name=\"c\n"] {
            assert_eq!(refusal(code), "ERR Invalid library metadata");
        }
    }

    #[test]
    fn checks_come_in_the_order_of_the_server() {
        for (line, text) in [
            // a bad quote anywhere precedes what the words say
            ("#!foo bar=1 'x", "ERR Invalid library metadata"),
            // words left to right
            ("#!lua name=a foo name=b", "ERR Invalid metadata value given: foo"),
            ("#!lua name=a name=b foo", "ERR Invalid metadata value, name argument was given multiple times"),
            ("#! lua name=a", "ERR Invalid metadata value given: lua"),
            ("#!foo nam", "ERR Invalid metadata value given: nam"),
            ("#!lua ''", "ERR Invalid metadata value given: "),
            // then the name, then the engine
            ("#!foo", "ERR Library name was not given"),
            (
                "#!foo name=a-b",
                "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                 character long",
            ),
            ("#!foo name=a", "ERR Engine 'foo' not found"),
            ("#! name=a", "ERR Engine '' not found"),
        ] {
            assert_eq!(refusal(format!("{line}\n").as_bytes()), text, "{line}");
        }
    }

    #[test]
    fn an_empty_or_foreign_name_is_refused() {
        for code in [&b"#!lua name=\n"[..], b"#!lua name=\"a b\"\n", b"#!lua name=\xc3\xa4\n"] {
            assert_eq!(parse(code), Err(RegistryError::InvalidName));
        }
    }
}
