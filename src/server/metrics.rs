//! The module's figures for Prometheus.
//!
//! There are two forms, and no text is right in both: a counter is declared by its name without `_total` in the one and
//! with it in the other. `promtool check metrics` and the text-file collector of the node exporter read the older one
//! alone; who scrapes over HTTP may have the newer one.
//!
//! The crate `prometheus-client` writes OpenMetrics alone, ended by a line feed that `redis-cli` would double, and is
//! made for figures that live in it.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::figures::{CALL_SECTIONS, COLUMNS, Called, Calls, Column, Description, Figure, Kind, SECTIONS, Unit, Value};
use super::module::Module;
use crate::engine::{Callable, Dialect};

/// A form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
}

/// Before the names of all metrics.
const PREFIX: &str = "shadow";

/// All figures of the module. Each metric stands in one place with all its values.
pub fn exposition(module: &Module, form: Form) -> String {
    let mut text = Text { form, written: String::new() };
    let result = text.all(module);
    // A string takes whatever is written to it.
    debug_assert!(result.is_ok());
    text.written
}

/// A label of a value.
type Label<'a> = (&'static str, &'a str);

/// The text as far as it is written.
struct Text {
    form: Form,
    written: String,
}

impl Text {
    fn all(&mut self, module: &Module) -> fmt::Result {
        self.version(&module.dialect)?;
        let figures: Vec<Figure> = SECTIONS.iter().flat_map(|section| (section.figures)(module)).collect();
        let calls = CALL_SECTIONS.each_ref().map(|section| section.calls(module));
        let mut figures: Vec<(String, &Figure)> = figures
            .iter()
            .chain(calls.iter().map(|calls| &calls.called))
            .map(|figure| (figure.description.metric(), figure))
            .collect();
        figures.sort_by(|(left, _), (right, _)| left.cmp(right));
        for family in figures.chunk_by(|(left, _), (right, _)| left == right) {
            self.figures(family)?;
        }
        for calls in &calls {
            self.calls(calls)?;
        }
        self.end();
        Ok(())
    }

    /// Which versions they are of.
    fn version(&mut self, dialect: &Dialect) -> fmt::Result {
        let server = dialect.valkey.as_ref().unwrap_or(&dialect.redis);
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("server", dialect.words.server),
            ("server_version", server.text.as_str()),
        ];
        let (family, kind) = match self.form {
            Form::OpenMetrics => (PREFIX.to_owned(), "info"),
            Form::Prometheus => (format!("{PREFIX}_info"), "gauge"),
        };
        self.declare(&family, kind, None, "The version of the module, and its server.")?;
        self.value(&format!("{PREFIX}_info"), &labels, 1, Unit::Things)
    }

    /// The figures of one metric.
    fn figures(&mut self, family: &[(String, &Figure)]) -> fmt::Result {
        let Some((name, first)) = family.first() else { return Ok(()) };
        let metric = self.begin(&format!("{PREFIX}_{name}"), &first.description)?;
        for (_, figure) in family {
            let (number, text) = match &figure.value {
                Value::Number(number) => (*number, None),
                Value::Text { label, text } => (1, Some((*label, text.as_str()))),
            };
            let kind = figure.callable.map(|callable| ("kind", callable.word()));
            let labels: Vec<Label> = kind.into_iter().chain(text).collect();
            self.value(&metric, &labels, number, figure.description.unit)?;
        }
        Ok(())
    }

    /// The figures of each function, or each script. These have names of their own: what is added up over both kinds is
    /// there already, and the two do not have the same labels.
    fn calls(&mut self, calls: &Calls) -> fmt::Result {
        if calls.listed.is_empty() {
            return Ok(());
        }
        let word = calls.callable.word();
        for column in &COLUMNS {
            let Column::Figure { description, value } = column else { continue };
            let metric = self.begin(&format!("{PREFIX}_{word}_{}", description.metric()), description)?;
            for called in &calls.listed {
                let labels: Vec<Label> = labels(calls.callable, called).collect();
                self.value(&metric, &labels, value(&called.counts), description.unit)?;
            }
        }
        self.latency(calls)
    }

    /// The percentiles of the times of each. Number and sum are among the figures.
    fn latency(&mut self, calls: &Calls) -> fmt::Result {
        let metric = format!("{PREFIX}_{}_latency_seconds", calls.callable.word());
        if calls.listed.iter().all(|called| called.percentiles.is_empty()) {
            return Ok(());
        }
        self.declare(&metric, "summary", Some("seconds"), "The time of the calls.")?;
        for called in &calls.listed {
            for (percentile, time) in &called.percentiles {
                // The nearest number with few digits: 0.999, and not what is left of a division.
                let quantile = ((percentile.percent * 1e6).round() / 1e8).to_string();
                let labels: Vec<Label> = labels(calls.callable, called).chain([("quantile", &*quantile)]).collect();
                self.value(&metric, &labels, time.duration().as_nanos() as u64, Unit::Nanoseconds)?;
            }
        }
        Ok(())
    }

    /// Declares the metric `family`, which is named without what marks a counter, and returns the name of its values.
    fn begin(&mut self, family: &str, description: &Description) -> Result<String, fmt::Error> {
        let (kind, values) = match description.kind {
            Kind::Gauge => ("gauge", family.to_owned()),
            Kind::Counter => ("counter", format!("{family}_total")),
        };
        let declared = if self.form == Form::OpenMetrics { family } else { &values };
        self.declare(declared, kind, description.unit.of_metric(), description.help)?;
        Ok(values)
    }

    fn declare(&mut self, family: &str, kind: &str, unit: Option<&str>, help: &str) -> fmt::Result {
        writeln!(self.written, "# HELP {family} {help}")?;
        writeln!(self.written, "# TYPE {family} {kind}")?;
        // The older form has no units.
        match unit.filter(|_| self.form == Form::OpenMetrics) {
            Some(unit) => writeln!(self.written, "# UNIT {family} {unit}"),
            None => Ok(()),
        }
    }

    fn value(&mut self, name: &str, labels: &[Label], number: u64, unit: Unit) -> fmt::Result {
        self.written.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let opened = if at == 0 { '{' } else { ',' };
            write!(self.written, "{opened}{label}=\"{}\"", escaped(value))?;
        }
        self.written.push_str(if labels.is_empty() { " " } else { "} " });
        match unit {
            Unit::Things | Unit::Bytes => writeln!(self.written, "{number}"),
            Unit::Nanoseconds => writeln!(self.written, "{}.{:09}", number / 1_000_000_000, number % 1_000_000_000),
            Unit::Microseconds => writeln!(self.written, "{}.{:06}", number / 1_000_000, number % 1_000_000),
            Unit::Milliseconds => writeln!(self.written, "{}.{:03}", number / 1_000, number % 1_000),
        }
    }

    /// OpenMetrics ends in a line whose line feed may be left out, and nothing may follow that. `redis-cli` adds a line
    /// feed to whatever it prints.
    fn end(&mut self) {
        if self.form == Form::OpenMetrics {
            self.written.push_str("# EOF");
        }
    }
}

fn labels<'a>(callable: Callable, called: &Called<'a>) -> impl Iterator<Item = Label<'a>> {
    let name = match callable {
        Callable::Function => "function",
        Callable::Script => "sha1",
    };
    called.library.map(|library| ("library", library)).into_iter().chain([(name, called.name)])
}

/// The value of a label as both forms have it between quotes.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_nothing_in_it_that_would_end_it() {
        for (value, expected) in [
            ("plain_9", "plain_9"),
            ("a\"b", "a\\\"b"),
            ("a\\", "a\\\\"),
            ("a\nb", "a\\nb"),
            ("\\n", "\\\\n"),
            ("\\\"\n", "\\\\\\\"\\n"),
            ("é\t{}=,", "é\t{}=,"),
        ] {
            assert_eq!(escaped(value), expected);
        }
    }

    fn value(form: Form, labels: &[Label], number: u64, unit: Unit) -> String {
        let mut text = Text { form, written: String::new() };
        text.value("m", labels, number, unit).expect("a string takes everything");
        text.written
    }

    #[test]
    fn numbers_are_exact_in_base_units() {
        for (number, unit, expected) in [
            (0, Unit::Things, "m 0\n"),
            (u64::MAX, Unit::Bytes, "m 18446744073709551615\n"),
            (1_000_000_007, Unit::Nanoseconds, "m 1.000000007\n"),
            (1, Unit::Microseconds, "m 0.000001\n"),
            (12_000_345, Unit::Microseconds, "m 12.000345\n"),
            (1_700_000_000_007, Unit::Milliseconds, "m 1700000000.007\n"),
        ] {
            assert_eq!(value(Form::OpenMetrics, &[], number, unit), expected);
            assert_eq!(value(Form::Prometheus, &[], number, unit), expected);
        }
        let labels = [("library", "a\"b"), ("function", "f")];
        let expected = "m{library=\"a\\\"b\",function=\"f\"} 5\n";
        assert_eq!(value(Form::Prometheus, &labels, 5, Unit::Things), expected);
    }
}
