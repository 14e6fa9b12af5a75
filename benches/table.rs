//! Tables of text, in Markdown.

use std::fmt;

use crate::number::number;

/// The columns' names and rows of cells. Columns are as wide as they need to be, so that the source can be read as
/// well; all but the first are aligned at the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// When it has not as many cells as there are columns.
    pub fn push(&mut self, row: impl IntoIterator<Item = impl Into<String>>) {
        let row: Vec<String> = row.into_iter().map(Into::into).collect();
        assert_eq!(row.len(), self.rows[0].len(), "cells of a row: {row:?}");
        self.rows.push(row);
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                if column == 0 {
                    write!(formatter, "| {cell:<width$} |")?
                } else {
                    write!(formatter, " {cell:>width$} |")?
                }
            }
            writeln!(formatter)?;
            if line == 0 {
                for column in 0..row.len() {
                    let dashes = "-".repeat(self.width(column));
                    if column == 0 { write!(formatter, "|-{dashes}-|")? } else { write!(formatter, "-{dashes}:|")? }
                }
                writeln!(formatter)?;
            }
        }
        Ok(())
    }
}

/// A value and its unit, for a cell; no unit where it was never reached.
pub fn quantity(value: f64, unit: &str) -> String {
    if value.is_infinite() { number(value) } else { format!("{} {unit}", number(value)) }
}
