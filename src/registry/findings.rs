//! The keys that the calls of a function reached and did not declare.

use std::collections::VecDeque;

/// How many cases are kept for a function, and of how many commands the counts. The scripts of job queues have some
/// twenty.
const CASES: usize = 32;
const COMMANDS: usize = 64;

/// A command in one line of a function that reached an undeclared key. What is kept of keys may be cut or hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The command, in lower case.
    pub command: Box<[u8]>,
    /// The line that called it; 0 if it is not known.
    pub line: u32,
    /// The first key that was not declared.
    pub key: Vec<u8>,
    /// The keys that the call declared.
    pub declared: Vec<Vec<u8>>,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Whether the command was refused.
    pub denied: bool,
    /// How often there was such a case: the same command in the same line.
    pub count: u64,
}

/// What was found of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How often each command reached an undeclared key.
    commands: Vec<(Box<[u8]>, u64)>,
    /// The last cases, no two of the same command in the same line. The last one comes last.
    cases: VecDeque<Case>,
    found: u64,
    denied: u64,
}

impl Findings {
    /// Notes a case.
    pub fn note(&mut self, mut case: Case) {
        self.found += 1;
        self.denied += u64::from(case.denied);
        if let Some((_, count)) = self.commands.iter_mut().find(|(command, _)| *command == case.command) {
            *count += 1;
        } else if self.commands.len() < COMMANDS {
            self.commands.push((case.command.clone(), 1));
        }
        let same = |known: &Case| known.line == case.line && known.command == case.command;
        let known = self.cases.iter().position(same).and_then(|at| self.cases.remove(at));
        case.count = known.map_or(0, |known| known.count) + 1;
        if self.cases.len() == CASES {
            self.cases.pop_front();
        }
        self.cases.push_back(case);
    }

    /// How many commands reached an undeclared key.
    pub const fn found(&self) -> u64 {
        self.found
    }

    /// How many of them were refused.
    pub const fn denied(&self) -> u64 {
        self.denied
    }

    /// How often each command did. There are commands beyond these if the counts are less than all.
    pub fn commands(&self) -> &[(Box<[u8]>, u64)] {
        &self.commands
    }

    /// The last cases, the last one first.
    pub fn cases(&self) -> impl ExactSizeIterator<Item = &Case> {
        self.cases.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(command: &str, line: u32, key: &str) -> Case {
        Case {
            command: command.as_bytes().into(),
            line,
            key: key.into(),
            declared: Vec::new(),
            time: 0,
            denied: false,
            count: 0,
        }
    }

    #[test]
    fn cases_of_one_place_are_one_with_the_last_key() {
        let mut findings = Findings::default();
        for (command, line, key) in [("get", 2, "a"), ("set", 2, "b"), ("get", 2, "c"), ("get", 3, "d")] {
            findings.note(case(command, line, key));
        }
        let cases: Vec<_> = findings.cases().map(|case| (case.line, &*case.key, case.count)).collect();
        assert_eq!(cases, [(3, &b"d"[..], 1), (2, b"c", 2), (2, b"b", 1)]);
        assert_eq!(findings.commands(), [(b"get"[..].into(), 3), (b"set"[..].into(), 1)]);
        assert_eq!((findings.found(), findings.denied()), (4, 0));
    }

    #[test]
    fn a_function_keeps_few_cases_and_counts_few_commands() {
        let mut findings = Findings::default();
        for number in 0..1_000 {
            findings.note(Case { denied: true, ..case(&number.to_string(), number, "key") });
        }
        assert_eq!((findings.cases().len(), findings.commands().len()), (CASES, COMMANDS));
        assert_eq!(findings.cases().next().unwrap().line, 999);
        assert_eq!((findings.found(), findings.denied()), (1_000, 1_000));
    }
}
