//! What the samples of a profile add up to: how often each stack was seen. It is bounded, whatever is sampled: what
//! goes beyond is counted, and shown as such.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write};

use serde_json::{Value, json};
use smallvec::SmallVec;

use crate::engine::Frame;

/// How many distinct frames are kept, and how many places in the tree of stacks.
const FRAMES_LIMIT: usize = 8_192;
const NODES_LIMIT: usize = 32_768;

/// How long the lines of all stacks may be together, in bytes.
const TEXT_LIMIT: usize = 16 << 20;

/// How much of a name is kept, in bytes.
const NAME_LIMIT: usize = 64;

/// The frames that stand for something else, which are the first.
const OTHER: u32 = 0;
const MISSED: u32 = 1;
const SPECIAL: [&str; 2] = ["(other)", "(missed)"];

/// A frame as it is shown.
#[derive(Debug)]
struct Shown {
    name: Box<str>,
    place: Option<(Box<str>, u32)>,
}

/// A place in the tree: a frame, called from its parent.
#[derive(Debug)]
struct Node {
    parent: u32,
    frame: u32,
    /// The bytes of its line, without the number.
    length: u32,
    /// Samples of exactly this stack.
    own: u64,
    /// Samples of stacks that begin with this one, and for which there was no room.
    other: u64,
}

/// How often each stack was seen.
#[derive(Debug)]
pub struct Tree {
    frames: Vec<Shown>,
    /// The numbers of the frames, by their texts.
    numbers: HashMap<Box<str>, u32>,
    /// The first is the place above all functions.
    nodes: Vec<Node>,
    /// By their parents and frames.
    children: HashMap<(u32, u32), u32>,
    /// Bytes of all lines.
    text: usize,
    /// The text of a frame that is looked for.
    wanted: String,
}

type Path = SmallVec<[u32; 32]>;

impl Tree {
    pub fn new() -> Self {
        let mut tree = Self {
            frames: Vec::new(),
            numbers: HashMap::new(),
            nodes: vec![Node { parent: 0, frame: 0, length: 0, own: 0, other: 0 }],
            children: HashMap::new(),
            text: 0,
            wanted: String::new(),
        };
        for name in SPECIAL {
            tree.number(name, None);
        }
        tree
    }

    /// Counts `samples` of a call of `root`, whose code is in `file`, in these frames, the innermost first.
    pub fn record(&mut self, root: &str, file: &str, frames: &[Frame], samples: u32) {
        let file = clean(file.as_bytes());
        let mut path = Path::new();
        path.push(self.number(&clean(root.as_bytes()), None));
        path.extend(frames.iter().rev().map(|frame| match *frame {
            Frame::Lua { name, chunk, line } => {
                let name = name.map_or(Cow::Borrowed("(anonymous)"), clean);
                let other = chunk.map(|chunk| clean(chunk.strip_prefix(b"=").unwrap_or(chunk)));
                self.number(&name, Some((other.as_ref().unwrap_or(&file), line)))
            }
            Frame::Native(name) => self.number(&clean(name), None),
            Frame::Command { by, name } => {
                let name = command(name);
                self.number(&format!("redis.{} {name}", clean(by)), None)
            }
            Frame::Coroutine => self.number("(coroutine)", None),
            Frame::Cut => self.number("(cut)", None),
        }));
        self.add(&path, samples.into());
    }

    /// The number of a frame; that of the others when there are too many.
    fn number(&mut self, name: &str, place: Option<(&str, u32)>) -> u32 {
        self.wanted.clear();
        let _ = write(&mut self.wanted, name, place);
        if let Some(&number) = self.numbers.get(&*self.wanted) {
            return number;
        }
        if self.frames.len() >= FRAMES_LIMIT {
            return OTHER;
        }
        let number = self.frames.len() as u32;
        self.frames.push(Shown { name: name.into(), place: place.map(|(file, line)| (file.into(), line)) });
        self.numbers.insert(self.wanted.as_str().into(), number);
        number
    }

    fn add(&mut self, path: &[u32], samples: u64) {
        let mut at = 0;
        for &frame in path {
            match self.child(at, frame) {
                Some(child) => at = child,
                None => return self.add_other(at, samples),
            }
        }
        if self.nodes[at as usize].own == 0 && !self.has_room(self.nodes[at as usize].length) {
            return self.add_other(0, samples);
        }
        self.nodes[at as usize].own += samples;
    }

    /// Counts samples of a stack for which there is no room, as far as it is there.
    fn add_other(&mut self, at: u32, samples: u64) {
        let node = &self.nodes[at as usize];
        let kept = at == 0 || node.other > 0 || self.has_room(node.length + SPECIAL[0].len() as u32);
        self.nodes[if kept { at as usize } else { 0 }].other += samples;
    }

    /// Takes the room for a line of this length, if there is any.
    fn has_room(&mut self, length: u32) -> bool {
        let text = self.text + length as usize;
        let fits = text <= TEXT_LIMIT;
        if fits {
            self.text = text;
        }
        fits
    }

    /// The place of `frame` when it is called from `parent`; None when there are too many.
    fn child(&mut self, parent: u32, frame: u32) -> Option<u32> {
        if let Some(&known) = self.children.get(&(parent, frame)) {
            return Some(known);
        }
        if self.nodes.len() >= NODES_LIMIT {
            return None;
        }
        let number = self.nodes.len() as u32;
        let Shown { name, place } = &self.frames[frame as usize];
        // The brackets and the signs between; the line's digits.
        let place = place.as_ref().map_or(0, |(file, _)| file.len() + 14);
        let length = self.nodes[parent as usize].length + (name.len() + place + 1) as u32;
        self.nodes.push(Node { parent, frame, length, own: 0, other: 0 });
        self.children.insert((parent, frame), number);
        Some(number)
    }

    /// All stacks, the outermost frame first, with their samples.
    fn stacks(&self, missed: u64) -> impl Iterator<Item = (Path, u64)> {
        let of_node = |(number, node): (usize, &Node)| {
            let path = self.path(number);
            let other = (node.other > 0).then(|| (path.iter().copied().chain([OTHER]).collect(), node.other));
            let own = (node.own > 0).then_some((path, node.own));
            own.into_iter().chain(other)
        };
        let missed = (missed > 0).then(|| (Path::from_slice(&[MISSED]), missed));
        self.nodes.iter().enumerate().flat_map(of_node).chain(missed)
    }

    fn path(&self, mut number: usize) -> Path {
        let mut path = Path::new();
        while number != 0 {
            path.push(self.nodes[number].frame);
            number = self.nodes[number].parent as usize;
        }
        path.reverse();
        path
    }

    /// A line for each stack: its frames with semicolons between them, a space, its samples. `missed` samples are of no
    /// stack.
    pub fn folded(&self, missed: u64) -> String {
        let mut text = String::new();
        for (path, samples) in self.stacks(missed) {
            for (position, &frame) in path.iter().enumerate() {
                let separator = if position == 0 { "" } else { ";" };
                let _ = write!(text, "{separator}{}", self.frames[frame as usize]);
            }
            let _ = writeln!(text, " {samples}");
        }
        text
    }

    /// The same as a file of speedscope, in which the profile has this name.
    pub fn speedscope(&self, name: &str, missed: u64) -> String {
        let (samples, weights): (Vec<Path>, Vec<u64>) = self.stacks(missed).unzip();
        let samples: Vec<Value> = samples.iter().map(|path| json!(path.as_slice())).collect();
        let frames: Vec<Value> = self.frames.iter().map(Shown::to_json).collect();
        let file = json!({
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": concat!("shadow-functions@", env!("CARGO_PKG_VERSION")),
            "name": name,
            "activeProfileIndex": 0,
            "shared": {"frames": frames},
            "profiles": [{
                "type": "sampled",
                "name": name,
                "unit": "none",
                "startValue": 0,
                "endValue": weights.iter().sum::<u64>(),
                "samples": samples,
                "weights": weights,
            }],
        });
        file.to_string()
    }
}

impl Shown {
    fn to_json(&self) -> Value {
        match &self.place {
            Some((file, line)) => json!({"name": self.name, "file": file, "line": line}),
            None => json!({"name": self.name}),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.name, self.place.as_ref().map(|(file, line)| (&**file, *line)))
    }
}

/// Writes a frame.
fn write(to: &mut impl Write, name: &str, place: Option<(&str, u32)>) -> fmt::Result {
    match place {
        Some((file, line)) => write!(to, "{name} ({file}:{line})"),
        None => to.write_str(name),
    }
}

/// A name such that it fits between semicolons in a line, and has no space behind which a number could be taken for
/// that of the samples.
fn clean(name: &[u8]) -> Cow<'_, str> {
    let name = &name[..name.len().min(NAME_LIMIT)];
    let fits = |byte: &u8| byte.is_ascii_graphic() && *byte != b';';
    let text = String::from_utf8_lossy(name);
    if name.iter().all(fits) {
        return text;
    }
    let fitting = |char: char| match char {
        ';' => ':',
        char if char.is_whitespace() || char.is_control() => '_',
        char => char,
    };
    Cow::Owned(text.chars().map(fitting).collect())
}

/// The name of a command. One that would read as the number of samples is told from it.
fn command(name: &[u8]) -> String {
    let name = clean(name).to_ascii_uppercase();
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lua(name: &str, line: u32) -> Frame<'_> {
        Frame::Lua { name: Some(name.as_bytes()), chunk: None, line }
    }

    /// The stacks and their samples, as a tool reads them.
    fn parsed(tree: &Tree, missed: u64) -> Vec<(Vec<String>, u64)> {
        let lines = tree.folded(missed);
        lines
            .lines()
            .map(|line| {
                let (stack, samples) = line.rsplit_once(' ').unwrap();
                (stack.split(';').map(str::to_owned).collect(), samples.parse().unwrap())
            })
            .collect()
    }

    fn total(tree: &Tree) -> u64 {
        parsed(tree, 0).iter().map(|(_, samples)| samples).sum()
    }

    #[test]
    fn samples_of_the_same_stack_are_added_up() {
        let mut tree = Tree::new();
        assert_eq!(tree.folded(0), "");
        tree.record("f", "lib", &[lua("inner", 7), lua("outer", 3)], 2);
        tree.record("f", "lib", &[lua("inner", 7), lua("outer", 3)], 1);
        tree.record("f", "lib", &[lua("inner", 8), lua("outer", 3)], 1);
        tree.record("f", "lib", &[lua("outer", 3)], 5);
        tree.record("g", "lib", &[], 1);
        let call = Frame::Command { by: b"call", name: b"hgetall" };
        tree.record("f", "lib", &[call, Frame::Lua { name: None, chunk: None, line: 9 }], 4);
        let expected = "f;outer (lib:3) 5\nf;outer (lib:3);inner (lib:7) 3\nf;outer (lib:3);inner (lib:8) 1\ng 1\n\
                        f;(anonymous) (lib:9);redis.call HGETALL 4\n(missed) 6\n";
        let mut lines: Vec<&str> = expected.lines().collect();
        let folded = tree.folded(6);
        let mut found: Vec<&str> = folded.lines().collect();
        lines.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, lines);
    }

    #[test]
    fn what_else_a_stack_can_have_is_shown() {
        let mut tree = Tree::new();
        let frames = [
            Frame::Native(b"sort"),
            Frame::Lua { name: None, chunk: Some(b"=made"), line: 2 },
            Frame::Coroutine,
            Frame::Native(b"resume"),
            Frame::Cut,
        ];
        tree.record("abc", "abc", &frames, 1);
        assert_eq!(tree.folded(0), "abc;(cut);resume;(coroutine);(anonymous) (made:2);sort 1\n");
    }

    #[test]
    fn no_name_breaks_a_line() {
        let mut tree = Tree::new();
        for name in ["a;b", "a b", "a\nb", "a\r\n7", "7", "1.5", "", " ", "\u{85}x\u{2028}", "\t12 13", "é"] {
            for frame in [Frame::Command { by: b"pcall", name: name.as_bytes() }, lua(name, 1)] {
                tree.record("f", name, &[frame], 1);
            }
        }
        tree.record("f", "lib", &[Frame::Command { by: b"call", name: b"\xFF\xFE" }], 1);
        let before = total(&tree);
        assert_eq!(before, 23);
        for (stack, _) in parsed(&tree, 0) {
            assert_eq!((stack.len(), &*stack[0]), (2, "f"), "{stack:?}");
            let (_, last) = stack[1].rsplit_once(' ').unwrap();
            assert!(last.parse::<f64>().is_err() && !last.is_empty(), "{stack:?}");
            assert!(
                stack[1].chars().all(|char| char == ' ' || !char.is_whitespace() && !char.is_control()),
                "{stack:?}"
            );
        }
        let long = "x".repeat(10_000);
        tree.record("f", &long, &[lua(&long, 1)], 1);
        assert!(parsed(&tree, 0).iter().all(|(stack, _)| stack[1].len() < 3 * NAME_LIMIT));
    }

    #[test]
    fn a_file_of_speedscope_has_the_same_stacks() {
        let mut tree = Tree::new();
        for line in 1..=20 {
            tree.record("f", "lib", &[Frame::Command { by: b"call", name: b"get" }, lua("g\"\\", line % 7)], line);
        }
        let file: Value = serde_json::from_str(&tree.speedscope("f, 99 Hz", 3)).unwrap();
        let profile = &file["profiles"][0];
        assert_eq!((&file["name"], &profile["unit"]), (&json!("f, 99 Hz"), &json!("none")));
        let shown = |number: &Value| {
            let frame = &file["shared"]["frames"][number.as_u64().unwrap() as usize];
            match frame["line"].as_u64() {
                Some(line) => {
                    format!("{} ({}:{line})", frame["name"].as_str().unwrap(), frame["file"].as_str().unwrap())
                }
                None => frame["name"].as_str().unwrap().to_owned(),
            }
        };
        let stacks = profile["samples"].as_array().unwrap().iter();
        let stacks = stacks.map(|stack| stack.as_array().unwrap().iter().map(shown).collect::<Vec<_>>());
        let weights = profile["weights"].as_array().unwrap().iter().map(|weight| weight.as_u64().unwrap());
        assert_eq!(stacks.zip(weights).collect::<Vec<_>>(), parsed(&tree, 3));
        assert_eq!(profile["endValue"], json!(total(&tree) + 3));
    }

    #[test]
    fn many_stacks_take_bounded_memory_and_every_sample_counts() {
        // Distinct frames, then distinct stacks of few frames, then distinct functions.
        let mut tree = Tree::new();
        let commands: Vec<String> = (0..3 * FRAMES_LIMIT).map(|number| format!("command{number}")).collect();
        for name in &commands {
            tree.record("f", "lib", &[Frame::Command { by: b"call", name: name.as_bytes() }, lua("g", 1)], 1);
        }
        assert_eq!((tree.frames.len(), total(&tree)), (FRAMES_LIMIT, commands.len() as u64));
        assert!(tree.folded(0).lines().any(|line| line.starts_with("f;g (lib:1);(other) ")));
        let mut tree = Tree::new();
        let count = 1_u32 << 16;
        for number in 0..count {
            let frames: Vec<Frame> = (0..16).map(|bit| lua("h", 1 + (number >> bit & 1))).collect();
            tree.record("f", "lib", &frames, 1);
        }
        assert_eq!((tree.nodes.len(), total(&tree)), (NODES_LIMIT, count.into()));
        assert!(tree.folded(0).lines().any(|line| line == "f;(other) 32768"));
        tree.record("another", "lib", &[lua("h", 1)], 7);
        assert!(tree.folded(0).lines().any(|line| line.starts_with("(other) ")));
        assert_eq!(total(&tree), u64::from(count) + 7);
    }

    #[test]
    fn the_text_of_all_stacks_is_bounded() {
        let mut tree = Tree::new();
        let long = "n".repeat(NAME_LIMIT);
        let names: Vec<String> = (0..64).map(|number| format!("{number:02}{long}")).collect();
        let frames: Vec<Frame> = names.iter().map(|name| lua(name, 1)).collect();
        let count = 10_000;
        for number in 0..count {
            let mut frames = frames.clone();
            frames[0] = lua(&names[0], number);
            tree.record("f", &long, &frames, 1);
        }
        let folded = tree.folded(0);
        assert!(folded.len() <= TEXT_LIMIT + count as usize * 21, "{}", folded.len());
        assert!(folded.len() > TEXT_LIMIT / 2, "{}", folded.len());
        assert_eq!(total(&tree), u64::from(count));
    }
}
