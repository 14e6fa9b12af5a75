//! What a block of code asks for. CONTRIBUTING.md describes the form.

use super::page::Block;

/// What is done with a block, or with a part of one.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Commands typed to one `redis-cli`, which was started with these options.
    Session { options: String, exchanges: Vec<Exchange> },
    /// A line typed to a shell, with what it prints.
    Shell(Exchange),
    /// A line for a shell of which the page does not show what it prints.
    Quiet { line: usize, command: String },
    /// A library, which the reader keeps in a file of this name.
    File { name: String, text: String },
}

/// A typed line and what is printed in answer to it.
#[derive(Debug, PartialEq)]
pub struct Exchange {
    /// Its line of the page.
    pub line: usize,
    pub command: String,
    /// Without empty lines and without spaces at the ends of lines.
    pub reply: Vec<String>,
}

/// A program whose lines are recognised without a prompt.
const PROGRAMS: [&str; 3] = ["make", "redis-cli", "redis-server"];

/// The steps of a block; none when it only shows something.
///
/// # Errors
/// The line and a sentence, when a transcript begins with a reply.
pub fn steps(block: &Block) -> Result<Vec<Step>, (usize, String)> {
    let lines = || block.text.lines().enumerate().map(|(at, line)| (block.line + at, line));
    if block.text.starts_with("#!lua name=") {
        let name = block.text.lines().next().and_then(|line| line.rsplit('=').next()).unwrap_or_default();
        return Ok(vec![Step::File { name: format!("{}.lua", name.trim()), text: block.text.clone() }]);
    }
    if lines().any(|(_, line)| line.starts_with("> ") || line.starts_with("$ ")) {
        return transcript(lines().filter(|(_, line)| !line.trim().is_empty()));
    }
    let program = |line: &str| line.split_whitespace().next().is_none_or(|word| PROGRAMS.contains(&word));
    if lines().all(|(_, line)| program(line)) {
        let commands = lines().filter(|(_, line)| !line.trim().is_empty());
        return Ok(commands.map(|(line, command)| Step::Quiet { line, command: command.trim().to_owned() }).collect());
    }
    Ok(Vec::new())
}

fn transcript<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<Step>, (usize, String)> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, text) in lines {
        let exchange = |command: &str| Exchange { line, command: command.trim().to_owned(), reply: Vec::new() };
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step::Shell(exchange(command)));
        } else if let Some(command) = text.strip_prefix("> ") {
            match steps.last_mut() {
                Some(Step::Session { exchanges, .. }) => exchanges.push(exchange(command)),
                last => {
                    let options = last.and_then(opened);
                    if options.is_some() {
                        steps.pop();
                    }
                    let options = options.unwrap_or_default();
                    steps.push(Step::Session { options, exchanges: vec![exchange(command)] });
                }
            }
        } else {
            let last = match steps.last_mut() {
                Some(Step::Session { exchanges, .. }) => exchanges.last_mut(),
                Some(Step::Shell(exchange)) => Some(exchange),
                _ => None,
            };
            let last = last.ok_or_else(|| (line, "a reply without a command".to_owned()))?;
            last.reply.push(text.trim_end().to_owned());
        }
    }
    Ok(steps)
}

/// The options of a `redis-cli` that was started to type to, which is so when nothing else came before the prompt.
fn opened(step: &mut Step) -> Option<String> {
    match step {
        Step::Shell(Exchange { command, reply, .. }) if reply.is_empty() => {
            let options = command.strip_prefix("redis-cli")?.trim();
            options.split(' ').all(|word| word.is_empty() || word.starts_with('-')).then(|| options.to_owned())
        }
        _ => None,
    }
}

/// Whether `printed` is what `shown` says. In `shown`, `...` inside of a line stands for a run of characters without a
/// space, or with spaces at the end of a text, and a line `...` for one line or more, but never for the first of a
/// reply.
pub fn is_shown(shown: &[String], printed: &[String]) -> bool {
    shown.first().is_none_or(|line| line.trim() != "...") && are_shown(shown, printed)
}

fn are_shown(shown: &[String], printed: &[String]) -> bool {
    match shown {
        [] => printed.is_empty(),
        [line, rest @ ..] if line.trim() == "..." => {
            (1..=printed.len()).any(|skipped| are_shown(rest, &printed[skipped..]))
        }
        [line, rest @ ..] => {
            printed.first().is_some_and(|first| line_is_shown(line, first)) && are_shown(rest, &printed[1..])
        }
    }
}

fn line_is_shown(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split("...");
    let head = parts.next().unwrap_or_default();
    let Some(rest) = printed.strip_prefix(head) else { return false };
    rest_is_shown(&parts.collect::<Vec<_>>(), rest)
}

/// Whether `printed` is, for each of `parts`, a run of characters without a space, then the part.
fn rest_is_shown(parts: &[&str], printed: &str) -> bool {
    let [part, tail @ ..] = parts else { return printed.is_empty() };
    if *part == "\"" && tail.is_empty() {
        return printed.strip_suffix(part).is_some_and(|run| !run.is_empty() && !run.contains('"'));
    }
    let run = printed.find(char::is_whitespace).unwrap_or(printed.len());
    let ends = printed.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|&end| end <= run);
    ends.filter_map(|end| printed[end..].strip_prefix(part)).any(|rest| rest_is_shown(tail, rest))
}

#[cfg(test)]
mod tests {
    use super::{Block, Exchange, Step, is_shown, steps};

    fn steps_of(text: &str) -> Result<Vec<Step>, (usize, String)> {
        steps(&Block { line: 10, text: text.to_owned() })
    }

    fn exchange(line: usize, command: &str, reply: &[&str]) -> Exchange {
        let reply = reply.iter().map(|&line| line.to_owned()).collect();
        Exchange { line, command: command.to_owned(), reply }
    }

    fn shows(shown: &str, printed: &str) -> bool {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        is_shown(&lines(shown), &lines(printed))
    }

    #[test]
    fn a_transcript_is_taken_apart_into_commands_and_replies() {
        let session = |options: &str, exchanges| Step::Session { options: options.to_owned(), exchanges };
        assert_eq!(
            steps_of("> PING\nPONG\n\n> ECHO \"a\"\n\"a\"\n"),
            Ok(vec![session("", vec![exchange(10, "PING", &["PONG"]), exchange(13, "ECHO \"a\"", &["\"a\""])])])
        );
        assert_eq!(
            steps_of("$ redis-cli -3\n> PING\nPONG\n$ wc -l x\n3\n"),
            Ok(vec![
                session("-3", vec![exchange(11, "PING", &["PONG"])]),
                Step::Shell(exchange(13, "wc -l x", &["3"])),
            ])
        );
    }

    #[test]
    fn lines_for_a_shell_need_no_prompt_and_a_listing_is_left_alone() {
        let quiet = |line, command: &str| Step::Quiet { line, command: command.to_owned() };
        assert_eq!(
            steps_of("make build\nredis-cli PING\n"),
            Ok(vec![quiet(10, "make build"), quiet(11, "redis-cli PING")])
        );
        assert_eq!(steps_of("loadmodule x.so\n"), Ok(vec![]));
        let text = "#!lua name=x\n...".to_owned();
        assert_eq!(steps_of(&text), Ok(vec![Step::File { name: "x.lua".to_owned(), text }]));
    }

    #[test]
    fn a_reply_before_any_command_is_refused() {
        assert!(steps_of("OK\n> PING\nPONG\n").is_err());
    }

    #[test]
    fn another_reply_a_missing_line_and_one_too_many_are_seen() {
        assert!(shows("1) \"a\"\n2) \"b\"", "1) \"a\"\n2) \"b\""));
        for printed in ["1) \"a\"", "1) \"a\"\n2) \"c\"", "1) \"a\"\n2) \"b\"\n3) \"c\"", ""] {
            assert!(!shows("1) \"a\"\n2) \"b\"", printed), "{printed}");
        }
        assert!(!shows("", "OK"));
    }

    #[test]
    fn an_ellipsis_stands_for_some_characters_but_for_no_space() {
        assert!(shows("(integer) ...", "(integer) 17"));
        assert!(shows("a:...,b:...", "a:1,b:2"));
        assert!(shows("Killed by SCRIPT KILL... at line 2", "Killed by SCRIPT KILL... at line 2"));
        for printed in ["(integer) ", "(error) ERR x", "(integer) 1 2"] {
            assert!(!shows("(integer) ...", printed), "{printed}");
        }
    }

    #[test]
    fn an_ellipsis_at_the_end_of_a_text_stands_for_words_too() {
        assert!(shows("\"a ...\"", "\"a b c\""));
        for (shown, printed) in [("\"a ...\"", "\"a \""), ("\"a ...\"", "\"a b\" \"c\""), ("a ... c", "a b b c")] {
            assert!(!shows(shown, printed), "{shown} {printed}");
        }
    }

    #[test]
    fn a_line_of_an_ellipsis_stands_for_lines_but_for_no_whole_reply() {
        assert!(shows("a\n...\nd", "a\nb\nc\nd"));
        assert!(shows("a\n...", "a\nb"));
        for (shown, printed) in [("...", "a"), ("...\nb", "a\nb"), ("a\n...\nd", "a\nd"), ("a\n...", "a")] {
            assert!(!shows(shown, printed), "{shown} {printed}");
        }
    }
}
