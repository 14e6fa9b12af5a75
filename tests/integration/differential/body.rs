//! What is sent as a function and as a script.

use crate::support::library::source;

/// A body with its flags. As a function it is registered under its name; as a script it is the text itself.
#[derive(Clone, Debug)]
pub struct Body {
    name: String,
    /// The flags, separated by commas; None is a script without a first line.
    flags: Option<String>,
    code: String,
}

impl Body {
    /// A function with these flags, and a script whose first line has them: a list with commas, which may be empty.
    /// None is a function without flags and a script without a first line.
    pub fn new(name: &str, flags: Option<&str>, code: &str) -> Self {
        Self { name: name.to_owned(), flags: flags.map(str::to_owned), code: code.to_owned() }
    }

    /// A function without flags, and a script without a first line.
    pub fn plain(name: &str, code: &str) -> Self {
        Self::new(name, None, code)
    }

    /// A function and a script with these flags.
    pub fn flagged(name: &str, flags: &str, code: &str) -> Self {
        Self::new(name, Some(flags), code)
    }

    /// The name of the function.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The script.
    pub fn script(&self) -> String {
        let Self { code, flags, .. } = self;
        match flags.as_deref() {
            None => code.clone(),
            Some("") => format!("#!lua\n{code}"),
            Some(flags) => format!("#!lua flags={flags}\n{code}"),
        }
    }

    /// The statement that registers the function.
    fn registration(&self) -> String {
        let Self { name, flags, code } = self;
        let flags = flags.as_deref().unwrap_or_default();
        if flags.is_empty() {
            return format!("redis.register_function('{name}', function(KEYS, ARGV) {code} end)\n");
        }
        let flags: Vec<String> = flags.split(',').map(|flag| format!("'{flag}'")).collect();
        format!(
            "redis.register_function{{function_name='{name}', flags={{{}}}, callback=function(KEYS, ARGV) {code} end}}\n",
            flags.join(",")
        )
    }
}

/// A library with a function for each body.
pub fn library(name: &str, bodies: &[Body]) -> String {
    source(name, &bodies.iter().map(Body::registration).collect::<String>())
}
