//! From a history to a verdict: partitions, workers, budget.
//!
//! Partitions are decided in rounds. In each round every open partition gets a slice of the budget, and the
//! slices double from round to round, so that the easy partitions are out of the way at once, a hard one cannot
//! starve the others, and a violation on any key is found although the search on another would never end.
//! Rounds also make the outcome independent of which worker was faster: under a budget of configurations the
//! same history always gets the same verdict.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::history::{History, Interval, intervals};
use crate::model::Model;
use crate::part::split;
use crate::procedure::{Procedure, Progress, Slice};
use crate::verdict::{Unknown, Verdict, Violation, Witness};
use crate::witness::verify;

/// How much a check may cost.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most configurations (states of the search) to examine over all partitions. Each takes on the order
    /// of 100 bytes and a microsecond or two, more with many pending operations. The exact key/value method
    /// uses none.
    pub configurations: u64,
    /// The longest time to search, or `None` for no limit. With a limit the verdict may depend on the machine.
    pub time: Option<Duration>,
    /// The most threads to use, or `None` for as many as there are cores. One spawns none.
    pub threads: Option<NonZero<usize>>,
}

impl Default for Options {
    /// Three million configurations (some hundred megabytes and some seconds), no limit in time, all cores.
    fn default() -> Self {
        Options { configurations: 3_000_000, time: None, threads: None }
    }
}

/// The first round's slice of each partition.
const FIRST_SLICE: u64 = 1024;

/// Histories shorter than this are checked on the caller's thread: starting others would take longer.
const WORTH_THREADS: usize = 1000;

/// Decides whether the history is linearizable with respect to the model.
///
/// Blocks the caller until there is a verdict or the budget is used up.
///
/// ```
/// use linearizability::models::{CasInput, CasOutput, CasRegister};
/// use linearizability::{History, Operation, Options, Verdict, check};
///
/// let history = History::new(vec![
///     Operation::new(0, 1, CasInput::Write(Some(1)), 2, CasOutput::Done),
///     Operation::new(1, 3, CasInput::Read, 4, CasOutput::Value(None)),
/// ])?;
/// let Verdict::Violation(violation) = check(&CasRegister, &history, &Options::default()) else {
///     panic!("the read is stale");
/// };
/// assert_eq!(violation.core, [0, 1]);
/// # Ok::<(), linearizability::MalformedHistory>(())
/// ```
pub fn check<M: Model>(model: &M, history: &History<M::Input, M::Output>, options: &Options) -> Verdict {
    let deadline = options.time.map(|t| Instant::now() + t);
    let ranks = intervals(history.operations());
    let parts = split(model, history, &ranks);
    let jobs: Vec<Job<'_>> =
        parts.into_iter().map(|part| Job { procedure: model.procedure(part), outcome: None }).collect();
    // Asking the system for its cores takes longer than checking a short history.
    let threads = match options.threads {
        _ if history.len() < WORTH_THREADS => 1,
        Some(threads) => threads.get(),
        None => std::thread::available_parallelism().map_or(1, NonZero::get),
    };
    match run(jobs, options.configurations, deadline, threads) {
        Err(unknown) => Verdict::Unknown(unknown),
        Ok(Decided::Violation(violation)) => Verdict::Violation(violation),
        Ok(Decided::Orders(orders)) => {
            let order = merge(orders, &ranks);
            match verify(model, history, &order) {
                Ok(()) => Verdict::Linearizable(Witness { order }),
                Err(refuted) => Verdict::Unknown(Unknown::Defect(refuted)),
            }
        }
    }
}

struct Job<'a> {
    procedure: Box<dyn Procedure + 'a>,
    outcome: Option<Progress>,
}

enum Decided {
    Orders(Vec<Vec<usize>>),
    Violation(Violation),
}

fn run(
    jobs: Vec<Job<'_>>,
    configurations: u64,
    deadline: Option<Instant>,
    threads: usize,
) -> Result<Decided, Unknown> {
    let partitions = jobs.len();
    let mut open: Vec<Mutex<Job<'_>>> = jobs.into_iter().map(Mutex::new).collect();
    let mut orders = Vec::with_capacity(partitions);
    let mut spent = 0;
    let mut slice = FIRST_SLICE;
    while !open.is_empty() {
        let undecided = open.len();
        let share = slice.min((configurations - spent) / undecided as u64);
        let (used, out_of_time) = round(&open, share, deadline, threads.min(undecided));
        spent += used;
        let mut violations: Vec<Violation> = Vec::new();
        let mut still_open = Vec::new();
        for job in open {
            let mut job = job.into_inner();
            match job.outcome.take().expect("each job ran") {
                Progress::Linearizable(order) => orders.push(order),
                Progress::Violation(violation) => violations.push(*violation),
                Progress::Undecided => still_open.push(Mutex::new(job)),
            }
        }
        // Of several violations of a round the one with the smallest core is the easiest to understand.
        if let Some(best) = (0..violations.len()).min_by_key(|&v| violations[v].core.len()) {
            let mut violation = violations.remove(best);
            violation.also = violations.into_iter().map(|v| v.partition).collect();
            return Ok(Decided::Violation(violation));
        }
        open = still_open;
        let undecided = open.len();
        if undecided > 0 && out_of_time {
            return Err(Unknown::OutOfTime { undecided, partitions });
        }
        if undecided > 0 && configurations - spent < undecided as u64 {
            return Err(Unknown::OutOfConfigurations { configurations: spent, undecided, partitions });
        }
        slice = slice.saturating_mul(2);
    }
    Ok(Decided::Orders(orders))
}

/// Gives every job one slice. Returns the configurations used, and whether the deadline passed.
fn round(jobs: &[Mutex<Job<'_>>], share: u64, deadline: Option<Instant>, threads: usize) -> (u64, bool) {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut used, mut late) = (0, false);
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut job = job.lock();
            let mut slice = Slice::new(share, deadline);
            job.outcome = Some(job.procedure.run(&mut slice));
            used += slice.used();
            late |= slice.out_of_time();
        }
        (used, late)
    };
    if threads <= 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().fold((0, false), |(used, late), worker| {
            let (u, l) = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (used + u, late | l)
        })
    })
}

/// Merges the orders of independent partitions into one. An operation's point is the latest call up to it in
/// its own order, the earliest moment it can have taken effect there; sorting by it respects real time across
/// partitions.
fn merge(mut orders: Vec<Vec<usize>>, ranks: &[Interval]) -> Vec<usize> {
    if orders.len() == 1 {
        return orders.remove(0);
    }
    let mut placed: Vec<(u32, u32, usize)> = Vec::with_capacity(ranks.len());
    for order in orders {
        let mut point = 0;
        for (position, &id) in order.iter().enumerate() {
            point = point.max(ranks[id].call);
            placed.push((point, position as u32, id));
        }
    }
    // Ranks are unique, so equal points are of one partition, and the position decides.
    placed.sort_unstable();
    placed.into_iter().map(|(_, _, id)| id).collect()
}
