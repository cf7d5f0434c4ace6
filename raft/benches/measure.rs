//! Wall and CPU time of a piece of work, medians, and rows of figures.

use std::time::{Duration, Instant};

/// One measured run of `count` operations.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    count: usize,
    wall: Duration,
    /// User and system time of all threads of the process; `None` where the system does not tell.
    cpu: Option<Duration>,
}

impl Sample {
    pub(crate) fn of(count: usize, work: impl FnOnce()) -> Sample {
        let (cpu, wall) = (process_cpu(), Instant::now());
        work();
        let wall = wall.elapsed();
        Sample { count, wall, cpu: process_cpu().zip(cpu).map(|(after, before)| after - before) }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }
}

/// The run with the median wall time.
pub(crate) fn median(runs: usize, mut run: impl FnMut() -> Sample) -> Sample {
    let mut samples: Vec<Sample> = (0..runs).map(|_| run()).collect();
    samples.sort_by_key(|sample| sample.wall);
    samples[runs / 2]
}

/// Prints one JSON line: what was measured, its parameters, operations per second, CPU microseconds per operation,
/// and its rate as a ratio to that of something else in the same run.
pub(crate) fn print_row(
    name: &str,
    parameters: &[(&str, usize)],
    sample: &Sample,
    ratio: Option<(&str, f64)>,
) {
    let parameters: String = parameters.iter().map(|(key, value)| format!("\"{key}\":{value},")).collect();
    let cpu_us = sample
        .cpu
        .map_or("null".into(), |cpu| format!("{:.2}", cpu.as_secs_f64() * 1e6 / sample.count as f64));
    let ratio = ratio.map(|(to, ratio)| format!(",\"ratio_to_{to}\":{ratio:.2}")).unwrap_or_default();
    println!(
        "{{\"bench\":\"{name}\",{parameters}\"per_second\":{:.0},\"cpu_us\":{cpu_us}{ratio}}}",
        sample.per_second()
    );
}

/// From `/proc/self/stat`: ticks of 10 ms in user and in system mode, the 14th and 15th fields.
fn process_cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    let user: u64 = after_name.nth(11)?.parse().ok()?;
    let system: u64 = after_name.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}
