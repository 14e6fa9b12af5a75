//! Tables of text.

use std::fmt;

/// A title, the columns' names and rows of cells. Columns are as wide as they need to be; all but the first are
/// aligned at the right.
pub struct Table<const COLUMNS: usize> {
    title: String,
    head: [&'static str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub fn new(title: impl Into<String>, head: [&'static str; COLUMNS]) -> Self {
        Self { title: title.into(), head, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.chain([self.head[column].chars().count()]).max().unwrap_or(0)
    }

    fn write_row<S: AsRef<str>>(&self, formatter: &mut fmt::Formatter<'_>, row: &[S; COLUMNS]) -> fmt::Result {
        for (column, cell) in row.iter().enumerate() {
            let (cell, width) = (cell.as_ref(), self.width(column));
            if column == 0 {
                write!(formatter, "  {cell:<width$}")?;
            } else {
                write!(formatter, "  {cell:>width$}")?;
            }
        }
        writeln!(formatter)
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.title)?;
        self.write_row(formatter, &self.head)?;
        self.rows.iter().try_for_each(|row| self.write_row(formatter, row))
    }
}
