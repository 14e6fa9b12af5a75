//! The benchmark's arithmetic and tables, whose tests `cargo test` would not run: the benchmark has no harness.

#![allow(dead_code, reason = "the benchmark uses what these tests do not")]

#[path = "../../benches/number.rs"]
mod number;
#[path = "../../benches/summary.rs"]
mod summary;
#[path = "../../benches/table.rs"]
mod table;
#[path = "../../benches/template.rs"]
mod template;

mod numbers;
mod summaries;
mod tables;
mod templates;
