//! A smaller program that still differs.

use super::tree::Node;

/// At most this many programs are run.
const MOST: usize = 1_000;

/// Leaves out of `program` what can be left out while it `differs`.
pub fn shrink(mut program: Node, mut differs: impl FnMut(&Node) -> bool) -> Node {
    let mut tried = 0;
    loop {
        let before = program.source().len();
        let mut place = 0;
        while place < program.count() {
            let smaller = program.simpler(place).into_iter().find(|other| {
                tried += 1;
                tried <= MOST && other.source().len() < program.source().len() && differs(other)
            });
            match smaller {
                Some(smaller) => program = smaller,
                None => place += 1,
            }
        }
        if program.source().len() == before || tried > MOST {
            return program;
        }
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::grammar::Grammar;
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let wanted = b"math.pow(";
        let holds = |program: &Node| program.source().windows(wanted.len()).any(|text| text == wanted);
        let mut rng = Rng::with_seed(1);
        let mut programs = std::iter::repeat_with(|| Grammar::program(&mut rng));
        let program = programs.find(|program| holds(program) && program.source().len() > 200).expect("one of many");
        let shrunk = shrink(program, holds);
        assert!(holds(&shrunk));
        assert!(shrunk.source().len() < 60, "{}", shrunk.source().escape_ascii());
    }
}
