//! A page of the documentation, read as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The top of the source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page.
pub struct Page {
    /// Where it is, from the top of the tree.
    pub path: PathBuf,
    /// Its text.
    pub source: String,
    pub blocks: Vec<Block>,
    pub headings: Vec<Heading>,
    /// Where its links and images lead, each with its line.
    pub links: Vec<(usize, String)>,
    /// What is set as code inside of a paragraph, each with its line.
    pub words: Vec<(usize, String)>,
}

/// A block of code, indented or fenced.
pub struct Block {
    /// The line of the page that its text begins on.
    pub line: usize,
    pub text: String,
}

/// A heading.
pub struct Heading {
    /// From 1, the title of the page.
    pub level: usize,
    pub text: String,
    /// Where it begins in the text of the page, in bytes.
    pub start: usize,
}

impl Page {
    /// Reads the page at `path`, which begins at the top of the tree.
    pub fn read(path: &Path) -> Self {
        let source = fs::read_to_string(root().join(path)).expect("a page is text");
        Self::parse(path, source)
    }

    /// Takes the text of a page apart.
    pub fn parse(path: &Path, source: String) -> Self {
        let (mut blocks, mut headings) = (Vec::new(), Vec::new());
        let (mut links, mut words) = (Vec::new(), Vec::new());
        let mut block: Option<Block> = None;
        let mut heading: Option<Heading> = None;
        for (event, range) in Parser::new_ext(&source, Options::ENABLE_TABLES).into_offset_iter() {
            let line = 1 + source[..range.start].matches('\n').count();
            match event {
                Event::Start(Tag::CodeBlock(_)) => block = Some(Block { line, text: String::new() }),
                Event::End(TagEnd::CodeBlock) => blocks.extend(block.take()),
                Event::Start(Tag::Heading { level, .. }) => {
                    heading = Some(Heading { level: level as usize, text: String::new(), start: range.start });
                }
                Event::End(TagEnd::Heading(_)) => headings.extend(heading.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links.push((line, dest_url.into_string()));
                }
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.text.push_str(&code);
                    }
                    words.push((line, code.into_string()));
                }
                Event::Text(text) => {
                    if let Some(block) = &mut block {
                        if block.text.is_empty() {
                            block.line = line;
                        }
                        block.text.push_str(&text);
                    } else if let Some(heading) = &mut heading {
                        heading.text.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        Self { path: path.to_owned(), source, blocks, headings, links, words }
    }

    /// The names of its headings in links, as the common hosts make them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut anchor = |heading: &Heading| {
            let slug: String = heading
                .text
                .to_lowercase()
                .chars()
                .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
                .map(|letter| if letter == ' ' { '-' } else { letter })
                .collect();
            let times = seen.entry(slug.clone()).or_default();
            *times += 1;
            if *times == 1 { slug } else { format!("{slug}-{}", *times - 1) }
        };
        self.headings.iter().map(&mut anchor).collect()
    }

    /// The text below the heading `title`, up to the next one that is not deeper.
    pub fn section(&self, title: &str) -> Option<&str> {
        let at = self.headings.iter().position(|heading| heading.text == title)?;
        let level = self.headings[at].level;
        let next = self.headings[at + 1..].iter().find(|heading| heading.level <= level);
        let section = &self.source[self.headings[at].start..next.map_or(self.source.len(), |heading| heading.start)];
        section.split_once('\n').map(|(_, text)| text)
    }

    /// What is set as code, in paragraphs and in blocks, each with its line.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let blocks = self
            .blocks
            .iter()
            .flat_map(|block| block.text.lines().enumerate().map(|(at, line)| (block.line + at, line)));
        self.words.iter().map(|(line, word)| (*line, word.as_str())).chain(blocks)
    }

    /// The page and a line of it, as editors read them.
    pub fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

/// All pages of the tree, in the order of their names.
pub fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    collect(root(), &mut paths);
    paths.sort();
    paths.iter().map(|path| Page::read(path.strip_prefix(root()).expect("below the top"))).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() && !name.starts_with('.') && name != "target" {
            collect(&path, paths);
        } else if kind.is_file() && name.ends_with(".md") {
            paths.push(path);
        }
    }
}

#[test]
fn blocks_are_found_with_their_lines_whether_indented_or_fenced() {
    let source = "# A\n\ntext\n\n    > PING\n\n    PONG\n\n- item\n\n  ```lua\n  return 1\n  ```\n".to_owned();
    let page = Page::parse(Path::new("x.md"), source);
    let blocks: Vec<(usize, &str)> = page.blocks.iter().map(|block| (block.line, block.text.as_str())).collect();
    assert_eq!(blocks, [(5, "> PING\n\nPONG\n"), (12, "return 1\n")]);
}

#[test]
fn anchors_are_those_of_the_common_hosts() {
    let source = "# A page\n## `SHADOW.FCALL_RO`\n## What's new?\n## A page\n".to_owned();
    let anchors = Page::parse(Path::new("x.md"), source).anchors();
    let expected = ["a-page", "shadowfcall_ro", "whats-new", "a-page-1"].map(str::to_owned);
    assert_eq!(anchors, expected.into_iter().collect());
}
