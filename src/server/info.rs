//! The module's sections of INFO.
//!
//! The server asks for them only when the reply includes them; a plain INFO has none.

use super::api::info::{Info, Report};
use super::api::{c_text, log};
use super::figures::{self, CALL_SECTIONS, COLUMNS, Called, Calls, Column, Figure, SECTIONS, Value};
use super::module;

/// The sections of [`SECTIONS`], and with a line for each of what was called those of [`CALL_SECTIONS`]. The report of
/// a crash goes without the latter.
pub struct Sections;

impl Report for Sections {
    fn report(info: &Info, crashed: bool) {
        let result = module::read().map(|module| {
            for section in &SECTIONS {
                if info.section(section.name).is_ok() {
                    (section.figures)(&module).iter().for_each(|figure| add(info, figure));
                }
            }
            if crashed {
                return;
            }
            for section in &CALL_SECTIONS {
                if info.section(section.name).is_ok() {
                    add_calls(info, &section.calls(&module));
                }
            }
        });
        // While a library is loaded the registry is lent; the sections are left out then.
        if let Err(error) = result {
            log(c"debug", error.as_bytes());
        }
    }
}

fn add(info: &Info, figure: &Figure) {
    let field = c_text(figure.field().as_bytes());
    match &figure.value {
        Value::Number(number) => info.number(&field, *number),
        Value::Text { text, .. } => info.text(&field, &c_text(text.as_bytes())),
    }
}

/// A line for each of what was called, in the form of `commandstats`, and one in the form of `latencystats`.
fn add_calls(info: &Info, calls: &Calls) {
    add(info, &calls.called);
    for called in &calls.listed {
        info.begin(&c_text(format!("{}_{}", calls.callable.word(), called.name).as_bytes()));
        for column in &COLUMNS {
            match column {
                Column::Figure { description, value } => {
                    info.number(&c_text(description.field.as_bytes()), value(&called.counts));
                }
                Column::Average { field } => {
                    let average = format!("{:.2}", figures::average(&called.counts));
                    info.text(&c_text(field.as_bytes()), &c_text(average.as_bytes()));
                }
            }
        }
        info.end();
    }
    for Called { name, percentiles, .. } in calls.listed.iter().filter(|called| !called.percentiles.is_empty()) {
        info.begin(&c_text(format!("latency_percentiles_usec_{}_{name}", calls.callable.word()).as_bytes()));
        for (percentile, time) in percentiles {
            let field = format!("p{}", percentile.text);
            info.text(&c_text(field.as_bytes()), &c_text(time.microseconds().as_bytes()));
        }
        info.end();
    }
}
