use super::super::api::{Arguments, Context};
use super::super::metrics::{Form, exposition};
use super::super::module;
use super::entry::Command;
use super::{is_option, unknown_argument};
use crate::error::Error;

/// `SHADOW.METRICS [OPENMETRICS | PROMETHEUS]`: what INFO tells of the module, in a form that Prometheus reads.
pub struct Metrics;

impl Command for Metrics {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let mut words = arguments.range(1, arguments.len());
        let form = match words.next() {
            None => Form::OpenMetrics,
            Some(word) if is_option(word, "openmetrics") => Form::OpenMetrics,
            Some(word) if is_option(word, "prometheus") => Form::Prometheus,
            Some(word) => return Err(unknown_argument(word)),
        };
        if let Some(word) = words.next() {
            return Err(unknown_argument(word));
        }
        let module = module::read()?;
        let text = exposition(&module, form);
        context.reply_verbatim(*b"txt", text.as_bytes());
        Ok(())
    }
}
