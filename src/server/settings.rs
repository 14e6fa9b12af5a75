//! The module's load arguments.

use super::api::Arguments;

/// What can be set when the module is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Retired generations that may wait for the worker; what does not fit is freed in place.
    pub reclaim_queue: usize,
    /// Whether FUNCTION, FCALL and FCALL_RO are answered by the shadow registry.
    pub intercept: bool,
    /// Whether SHADOW.DEBUG is there: fault injection for tests.
    pub enable_debug_command: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { reclaim_queue: 64, intercept: false, enable_debug_command: false }
    }
}

const QUEUE_LIMIT: usize = 65_536;

impl Settings {
    /// Reads pairs of a name and a value.
    ///
    /// # Errors
    /// A sentence for the log that names the argument.
    pub fn parse(arguments: Arguments) -> Result<Self, String> {
        Self::from_words(&arguments.range(0, arguments.len()).collect::<Vec<_>>())
    }

    fn from_words(words: &[&[u8]]) -> Result<Self, String> {
        let mut settings = Self::default();
        for pair in words.chunks(2) {
            let name = String::from_utf8_lossy(pair[0]).to_ascii_lowercase();
            let name = name.strip_prefix("shadow.").unwrap_or(&name);
            let value = pair.get(1).map(|value| String::from_utf8_lossy(value).into_owned());
            let value = value.ok_or_else(|| format!("load argument '{name}' has no value"))?;
            let wrong = |expected: &str| format!("load argument '{name}' must be {expected}, not '{value}'");
            match name {
                "reclaim-queue" => {
                    let capacity = value.parse().ok().filter(|capacity| (1..=QUEUE_LIMIT).contains(capacity));
                    settings.reclaim_queue =
                        capacity.ok_or_else(|| wrong(&format!("a number from 1 to {QUEUE_LIMIT}")))?;
                }
                "intercept" => settings.intercept = yes_or_no(&value).ok_or_else(|| wrong("yes or no"))?,
                "enable-debug-command" => {
                    settings.enable_debug_command = yes_or_no(&value).ok_or_else(|| wrong("yes or no"))?;
                }
                _ => return Err(format!("unknown load argument '{name}'")),
            }
        }
        Ok(settings)
    }
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Settings, String> {
        Settings::from_words(&line.split_whitespace().map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        assert_eq!(parse(""), Ok(Settings { reclaim_queue: 64, intercept: false, enable_debug_command: false }));
    }

    #[test]
    fn names_are_taken_in_any_case_with_or_without_the_prefix() {
        let expected = Settings { reclaim_queue: 5, intercept: true, enable_debug_command: true };
        assert_eq!(parse("reclaim-queue 5 intercept yes enable-debug-command yes"), Ok(expected.clone()));
        assert_eq!(parse("SHADOW.Reclaim-Queue 5 shadow.enable-debug-command YES Intercept Yes"), Ok(expected));
    }

    #[test]
    fn a_wrong_argument_is_refused_by_name() {
        assert_eq!(parse("colour red").unwrap_err(), "unknown load argument 'colour'");
        assert_eq!(parse("reclaim-queue").unwrap_err(), "load argument 'reclaim-queue' has no value");
        assert!(parse("reclaim-queue 0").unwrap_err().contains("must be a number from 1 to 65536, not '0'"));
        assert!(parse("enable-debug-command maybe").unwrap_err().contains("must be yes or no"));
    }
}
