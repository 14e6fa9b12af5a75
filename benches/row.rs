//! Rows of the report's tables: what was measured, by name or by the number of libraries.

use crate::number::count;
use crate::summary::{Pairs, Spread};

/// The row of a table.
#[derive(Clone, Default)]
pub struct Row {
    pub name: String,
    pub pairs: Pairs,
    /// The same commands without a function: the least that a module needs for them.
    pub floor: Option<Spread>,
    /// Instructions of the module's side; None where they were not counted.
    pub instructions: Option<f64>,
}

/// Samples of both sides with this many libraries.
pub struct BySize {
    pub libraries: usize,
    pub pairs: Pairs,
}

impl BySize {
    /// The row of a table.
    pub fn row(&self) -> Row {
        Row { name: count(self.libraries), pairs: self.pairs.clone(), ..Row::default() }
    }
}

/// The row of that name.
///
/// # Panics
///
/// When there is none.
pub fn row<'r>(rows: &'r [Row], name: &str) -> &'r Row {
    rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row is named {name}"))
}

/// The samples with this many libraries, or with the most that there are.
pub fn of_size(sizes: &[BySize], libraries: usize) -> &BySize {
    let found = sizes.iter().find(|size| size.libraries == libraries);
    found.or(sizes.last()).expect("some size was measured")
}
