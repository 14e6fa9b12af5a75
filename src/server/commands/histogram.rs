use std::marker::PhantomData;
use std::time::Duration;

use super::super::api::{Arguments, Context};
use super::super::module;
use super::super::named::Named;
use super::entry::{Command, Kind};
use super::list::reply_number;
use crate::clock::Ticks;
use crate::error::Error;

/// `SHADOW.FUNCTION HISTOGRAM [function ...]` and `SHADOW.SCRIPT HISTOGRAM [sha1 ...]`: how long the calls took, in the
/// form of LATENCY HISTOGRAM.
pub struct Histogram<K>(PhantomData<K>);

/// The bounds of LATENCY HISTOGRAM: powers of two of nanoseconds, each with the step that begins there in the server's
/// histogram.
const FIRST: u64 = 1_024;
const BOUNDS: u32 = 32;

fn bound(power: u32) -> Duration {
    let nanoseconds = FIRST << power;
    Duration::from_nanos(nanoseconds + nanoseconds / 128 - 1)
}

impl<K: Kind> Command for Histogram<K> {
    fn run(context: &Context, arguments: Arguments) -> Result<(), Error> {
        let module = module::read()?;
        let chosen = Named::chosen(&module, K::CALLABLE, arguments.range(2, arguments.len()))?;
        let bounds: Vec<Duration> = (0..BOUNDS).map(bound).collect();
        let counted: Vec<_> = chosen
            .iter()
            .map(|one| (one.name, one.callback.counters.times()))
            .filter(|(_, times)| times.count() > 0)
            .collect();
        context.reply_map(counted.len());
        for (name, times) in counted {
            context.reply_bulk(name.as_bytes());
            context.reply_map(2);
            reply_number(context, b"calls", times.count());
            context.reply_bulk(b"histogram_usec");
            let counts = times.up_to(&bounds, Ticks::duration);
            // A bound is left out when nothing falls between the one before and it.
            let steps: Vec<_> = (bounds.iter().zip(&counts).enumerate())
                .filter(|&(at, (_, &count))| count > at.checked_sub(1).map_or(0, |before| counts[before]))
                .map(|(_, step)| step)
                .collect();
            context.reply_map(steps.len());
            for (bound, &count) in steps {
                context.reply_integer(bound.as_micros() as i64);
                context.reply_integer(count as i64);
            }
        }
        Ok(())
    }
}
