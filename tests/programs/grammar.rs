//! Programs out of rules.
//!
//! A rule is a piece of source with holes in it: `<n>` is filled by a rule for numbers, `<new:n>` is the name of a
//! variable that holds a number from the next statement on, `<in:n>` one that is known up to the end of its rule, and
//! `<set:n>` one that is known already. What the kinds are is said where their rules are, in `rules/`.

use fastrand::Rng;

use super::damage::{damage, quoted};
use super::rules;
use super::tree::{Node, Piece, Sort};

/// How deep rules are nested before only those without holes are taken.
const DEEPEST: usize = 6;

/// The most statements of a block, and of a whole program.
const BLOCK: usize = 3;
const PROGRAM: usize = 9;

/// Names of variables: some of them mean something in Luau alone.
const NAMES: [&str; 6] = ["v", "v", "v", "continue", "export", "typeof"];

/// A variable, and the kind of its values.
#[derive(Clone)]
struct Variable {
    name: String,
    kind: String,
}

/// What makes programs.
pub struct Grammar<'a> {
    rng: &'a mut Rng,
    known: Vec<Variable>,
    next: usize,
    /// What a line ends with.
    line: &'static str,
}

impl<'a> Grammar<'a> {
    /// A program: the body of a function.
    pub fn program(rng: &'a mut Rng) -> Node {
        let line = rng.choice(rules::LINES.iter().copied()).expect("there are line ends");
        let mut grammar = Self { rng, known: Vec::new(), next: 0, line };
        let count = grammar.rng.usize(1..=PROGRAM);
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push(Piece::Part(grammar.statement(0)));
        }
        if grammar.rng.u8(..6) == 0 {
            pieces.push(Piece::Part(grammar.fill("last", 1)));
        }
        Node { sort: Sort::Fixed, pieces }
    }

    fn statement(&mut self, depth: usize) -> Node {
        let known = self.known.len();
        let mut node = self.fill("statement", depth);
        // An error would end the program. It must not be caught where a variable begins, which would end there, too.
        if self.known.len() == known && self.rng.u8(..4) > 0 {
            let [before, after] = ["P(pcall(function() ", " end))"].map(|text| Piece::Text(text.into()));
            node = Node { sort: Sort::Statement, pieces: vec![before, Piece::Part(node), after] };
        }
        let end = match self.rng.u8(..24) {
            0 => ";".to_owned(),
            1 => format!(" -- {}{}", self.literal("comment"), self.line),
            2 => format!(" --[[ {}{} ]]{}", self.literal("comment"), self.line, self.line),
            3 => format!(" --[==[{}]] ]==]{}", self.line, self.line),
            _ => self.line.to_owned(),
        };
        node.pieces.push(Piece::Text(end.into_bytes()));
        node
    }

    fn literal(&mut self, kind: &str) -> String {
        String::from_utf8_lossy(&self.fill(kind, DEEPEST).source()).into_owned()
    }

    fn block(&mut self, depth: usize) -> Node {
        let outside = self.known.len();
        let count = self.rng.usize(1..=BLOCK);
        let pieces = (0..count).map(|_| Piece::Part(self.statement(depth + 1))).collect();
        self.known.truncate(outside);
        Node { sort: Sort::Fixed, pieces }
    }

    /// Fills a hole of this kind.
    fn fill(&mut self, kind: &str, depth: usize) -> Node {
        if kind == "block" {
            return self.block(depth);
        }
        if kind == "damaged" {
            return self.damaged();
        }
        if self.rng.u8(..3) == 0
            && let Some(name) = self.variable(kind)
        {
            return Node::text(sort_of(kind), name);
        }
        let found = rules::of(kind);
        let closed: Vec<&str> = found.iter().copied().filter(|rule| !has_hole(rule)).collect();
        let from = if depth >= DEEPEST && !closed.is_empty() { closed } else { found };
        let mut rule = from[self.rng.usize(..from.len())];
        while split(rule).iter().any(|part| matches!(part, Part::Hole(hole) if !self.is_open(hole))) {
            rule = from[self.rng.usize(..from.len())];
        }
        let sort = match kind {
            "statement" | "last" => Sort::Statement,
            _ if rules::FIXED.contains(&kind) => Sort::Fixed,
            _ => sort_of(kind),
        };
        self.expand(rule, sort, depth)
    }

    /// A string that is the source of a statement, or was one.
    fn damaged(&mut self) -> Node {
        let known = std::mem::take(&mut self.known);
        let source = self.fill("statement", DEEPEST - 2).source();
        // The line of an error in a string of several lines is the VM's own business.
        let source: Vec<u8> =
            source.into_iter().map(|byte| if b"\r\n".contains(&byte) { b' ' } else { byte }).collect();
        self.known = known;
        let text = damage(self.rng, &String::from_utf8_lossy(&source));
        Node::text(Sort::Fixed, quoted(&text))
    }

    /// Whether a hole can be filled: one for a known variable needs one.
    fn is_open(&self, hole: &str) -> bool {
        hole.strip_prefix("set:").is_none_or(|kind| self.known.iter().any(|known| known.kind == kind))
    }

    /// A variable that holds such values, if there is one.
    fn variable(&mut self, kind: &str) -> Option<String> {
        let fitting: Vec<&Variable> = self.known.iter().filter(|variable| variable.kind == kind).collect();
        (!fitting.is_empty()).then(|| fitting[self.rng.usize(..fitting.len())].name.clone())
    }

    fn expand(&mut self, rule: &str, sort: Sort, depth: usize) -> Node {
        let outside = self.known.len();
        let (mut pieces, mut later) = (Vec::new(), Vec::new());
        let mut text = Vec::new();
        for part in split(rule) {
            let node = match part {
                Part::Text(plain) => {
                    text.extend(plain.bytes());
                    continue;
                }
                Part::Hole(hole) => match hole.split_once(':') {
                    Some(("new", kind)) => {
                        let variable = self.declare(kind);
                        later.push(variable.clone());
                        Node::text(Sort::Fixed, variable.name)
                    }
                    Some(("in", kind)) => {
                        let variable = self.declare(kind);
                        self.known.push(variable.clone());
                        Node::text(Sort::Fixed, variable.name)
                    }
                    Some((_, kind)) => {
                        let name = self.variable(kind).expect("a rule is taken when there is one");
                        Node::text(Sort::Fixed, name)
                    }
                    None => self.fill(hole, depth + 1),
                },
                Part::Line => {
                    text.extend(self.line.bytes());
                    continue;
                }
            };
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(Piece::Part(node));
        }
        pieces.push(Piece::Text(text));
        self.known.truncate(outside);
        self.known.extend(later);
        Node { sort, pieces }
    }

    fn declare(&mut self, kind: &str) -> Variable {
        self.next += 1;
        let name = NAMES[self.rng.usize(..NAMES.len())];
        let number = if name == "v" || self.known.iter().any(|known| known.name == name) {
            self.next.to_string()
        } else {
            String::new()
        };
        Variable { name: format!("{name}{number}"), kind: kind.to_owned() }
    }
}

/// What can stand in the place of an expression of this kind.
fn sort_of(kind: &str) -> Sort {
    match kind {
        "n" | "bits" => Sort::Number,
        // What is known to be no table is not to become one: where a table is, its text tells.
        "b" => Sort::Fixed,
        "s" | "subject" | "p" | "r" | "digits" | "bytes" | "packed" | "json" | "layout" | "code" => Sort::String,
        _ => Sort::Expression,
    }
}

/// A part of a rule.
enum Part<'a> {
    Text(&'a str),
    Hole(&'a str),
    Line,
}

fn has_hole(rule: &str) -> bool {
    split(rule).iter().any(|part| matches!(part, Part::Hole(_)))
}

/// Where the first hole of a rule begins and ends.
fn hole(rule: &str) -> Option<(usize, usize)> {
    rule.match_indices('<').find_map(|(start, _)| {
        let length = rule[start + 1..].find(|letter: char| !letter.is_ascii_lowercase() && letter != ':')?;
        let end = start + 1 + length;
        (length > 0 && rule[end..].starts_with('>')).then_some((start, end))
    })
}

fn split(rule: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest) = (Vec::new(), rule);
    while let Some((start, end)) = hole(rest) {
        lines(&rest[..start], &mut parts);
        parts.push(Part::Hole(&rest[start + 1..end]));
        rest = &rest[end + 1..];
    }
    lines(rest, &mut parts);
    parts
}

fn lines<'a>(text: &'a str, parts: &mut Vec<Part<'a>>) {
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            parts.push(Part::Line);
        }
        parts.push(Part::Text(line));
    }
}
