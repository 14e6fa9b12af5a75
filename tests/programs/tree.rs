//! A program as a tree: what it is rendered from, and what can be left out of it.

/// What a part of a program is, and so what can take its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sort {
    /// It can be left out.
    Statement,
    /// A literal can stand in its place: any, or one of its kind.
    Expression,
    Number,
    String,
    /// It stays as it is: a name, a bound that keeps a loop short.
    Fixed,
}

/// A part of a program.
#[derive(Clone, Debug)]
pub struct Node {
    pub sort: Sort,
    pub pieces: Vec<Piece>,
}

/// What a node is made of, in order.
#[derive(Clone, Debug)]
pub enum Piece {
    Text(Vec<u8>),
    Part(Node),
}

impl Sort {
    /// What stands for an expression that is left out.
    fn literals(self) -> &'static [&'static str] {
        match self {
            Sort::Statement | Sort::Fixed => &[],
            Sort::Expression => &["nil", "0", "''"],
            Sort::Number => &["0", "1"],
            Sort::String => &["''", "'a'"],
        }
    }

    fn takes(self, other: Sort) -> bool {
        self == other || self == Sort::Expression && matches!(other, Sort::Number | Sort::String)
    }
}

impl Node {
    /// A node without parts.
    pub fn text(sort: Sort, text: impl Into<Vec<u8>>) -> Self {
        Self { sort, pieces: vec![Piece::Text(text.into())] }
    }

    /// Adds the source of this node to `code`.
    pub fn render(&self, code: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => code.extend_from_slice(text),
                Piece::Part(node) => node.render(code),
            }
        }
    }

    /// The source of this node.
    pub fn source(&self) -> Vec<u8> {
        let mut code = Vec::new();
        self.render(&mut code);
        code
    }

    fn parts(&self) -> impl Iterator<Item = &Node> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Part(node) => Some(node),
            Piece::Text(_) => None,
        })
    }

    /// The number of nodes, this one included.
    pub fn count(&self) -> usize {
        1 + self.parts().map(Node::count).sum::<usize>()
    }

    /// The node that comes at `place` in the order of the source, this one at 0.
    fn at(&mut self, place: &mut usize) -> Option<&mut Node> {
        if *place == 0 {
            return Some(self);
        }
        *place -= 1;
        self.pieces.iter_mut().find_map(|piece| match piece {
            Piece::Part(node) => node.at(place),
            Piece::Text(_) => None,
        })
    }

    /// The nodes below this one that can stand where one of this sort does, each after those that it is in.
    fn below(&self, sort: Sort, found: &mut Vec<Node>) {
        for part in self.parts() {
            if sort.takes(part.sort) {
                found.push(part.clone());
            }
            // A statement brings those in it along.
            if part.sort != Sort::Statement || sort != Sort::Statement {
                part.below(sort, found);
            }
        }
    }

    /// The programs that are this one with a simpler part at `place`, the simplest first.
    pub fn simpler(&self, place: usize) -> Vec<Node> {
        let mut whole = self.clone();
        let Some(part) = whole.at(&mut { place }) else { return Vec::new() };
        let mut others = Vec::new();
        match part.sort {
            Sort::Statement => {
                others.push(Node::text(Sort::Fixed, ""));
                let mut inner = Vec::new();
                part.below(Sort::Statement, &mut inner);
                let pieces = inner.into_iter().map(Piece::Part).collect::<Vec<_>>();
                if !pieces.is_empty() {
                    others.push(Node { sort: Sort::Fixed, pieces });
                }
                let mut inner = Vec::new();
                part.below(Sort::Expression, &mut inner);
                others.extend(inner.into_iter().rev().map(|expression| {
                    let [before, after] =
                        ["P(pcall(function() return ", " end))\n"].map(|text| Piece::Text(text.into()));
                    Node { sort: Sort::Statement, pieces: vec![before, Piece::Part(expression), after] }
                }));
            }
            sort @ (Sort::Expression | Sort::Number | Sort::String) => {
                let source = part.source();
                let literals = sort.literals().iter().filter(|literal| literal.len() < source.len());
                others.extend(literals.map(|literal| Node::text(Sort::Fixed, *literal)));
                let mut inner = Vec::new();
                part.below(sort, &mut inner);
                others.extend(inner.into_iter().rev());
            }
            Sort::Fixed => {}
        }
        let replaced = |other: Node| {
            let mut whole = self.clone();
            *whole.at(&mut { place }).expect("it was there") = other;
            whole
        };
        others.into_iter().map(replaced).collect()
    }
}
