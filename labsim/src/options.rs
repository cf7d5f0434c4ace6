//! What a run is given.

use std::time::Duration;

/// The parameters of one run. Two runs of the same executable with equal options that concern the schedule
/// (`seed`, `schedule`, `livelock_switches`) in fresh processes are the same run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides every draw of the run.
    pub seed: u64,
    /// How the schedule is drawn from the seed.
    pub schedule: Schedule,
    /// How threads take turns; the schedule does not depend on it.
    pub handover: Handover,
    /// The run fails when it has used this much real time.
    pub wall_max: Duration,
    /// The run fails when its process has used this much CPU time. In virtual time only.
    pub cpu_max: Duration,
    /// The run fails when it holds more bytes than this on the run's heap (rounded up as the allocator rounds).
    /// Needs [`Alloc`](crate::Alloc) as the global allocator.
    pub memory_max: usize,
    /// The run fails when a thread has used this much CPU time without giving way: a busy loop.
    pub busy_max: Duration,
    /// The run fails when it has neither gone on nor computed for this much time, in which it could have done so: a thread
    /// waits for something that is not in virtual time.
    pub still_max: Duration,
    /// The run fails after so many switches in a row without a timer firing: a livelock. Preemptions do not count.
    pub livelock_switches: u64,
    /// The run fails when a thread has waited for a lock for this much virtual time, while others went on.
    pub stuck_max: Duration,
    /// The run ends with the first panic of any thread, not only with one of the first thread.
    pub end_on_panic: bool,
    /// Keep every switch, to find the first difference between two runs.
    pub record: bool,
}

impl Options {
    /// The defaults for `seed`: 60 s of real time, any CPU time, 4 GiB, 5 s of CPU time, half a minute of doing
    /// nothing, a million switches, a virtual
    /// minute at a lock.
    pub fn new(seed: u64) -> Self {
        Options {
            seed,
            schedule: Schedule::PerSeed,
            handover: Handover::Auto,
            wall_max: Duration::from_secs(60),
            cpu_max: Duration::MAX,
            memory_max: 4 << 30,
            busy_max: Duration::from_secs(5),
            still_max: Duration::from_secs(30),
            livelock_switches: 1_000_000,
            stuck_max: Duration::from_secs(60),
            end_on_panic: false,
            record: false,
        }
    }
}

/// How the schedule is drawn. Whatever the kind, a thread switches where it blocks, sleeps, or yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// A mix of all kinds, drawn from the seed, so that many seeds try many kinds. The default.
    PerSeed,
    /// The next thread is drawn uniformly among the runnable ones.
    Uniform {
        /// A thread is preempted at one allocation in so many on average; 0 for never, short of some 100,000 points in a row.
        alloc_one_in: u32,
        /// A thread is preempted at one synchronising call in so many on average; 0 for never, as above.
        sync_one_in: u32,
    },
    /// Probabilistic concurrency testing: finds a bug of depth `depth`, in a program of `n` threads and at most
    /// `steps` scheduling points, with probability at least `1 / (n * steps^(depth - 1))`; if no thread passes some 100,000
    /// points without giving way, after which it has to, lest others starve.
    Pct {
        /// The number of ordering constraints that make the bug; 1 and more.
        depth: u32,
        /// Among how many first points the `depth - 1` changes of priority are drawn.
        steps: u64,
    },
}

impl Schedule {
    /// `LABSIM_SCHEDULE=uniform:<alloc_one_in>:<sync_one_in>` or `pct:<depth>:<steps>`, to compare them.
    ///
    /// # Panics
    /// Panics if the variable is something else.
    pub(crate) fn of_environment() -> Option<Schedule> {
        let text = std::env::var(Self::VARIABLE).ok()?;
        let schedule = Self::parse(&text);
        assert!(schedule.is_some(), "{}={text:?}: it takes uniform:<n>:<n> or pct:<n>:<n>", Self::VARIABLE);
        schedule
    }

    pub(crate) const VARIABLE: &'static str = "LABSIM_SCHEDULE";

    fn parse(text: &str) -> Option<Schedule> {
        let (kind, numbers) = text.split_once(':')?;
        let (one, other) = numbers.split_once(':')?;
        match kind {
            "uniform" => {
                Some(Schedule::Uniform { alloc_one_in: one.parse().ok()?, sync_one_in: other.parse().ok()? })
            }
            "pct" => Some(Schedule::Pct { depth: one.parse().ok()?, steps: other.parse().ok()? }),
            _ => None,
        }
    }
}

/// How threads take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// Fast where CPU and kernel allow it and no debugger is attached.
    Auto,
    /// One kernel thread borrows stack and thread-locals of all others; falls back to `Futex` where impossible.
    Fast,
    /// Every thread sleeps in the kernel until its turn.
    Futex,
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn a_schedule_is_read() {
        let uniform = Schedule::Uniform { alloc_one_in: 8, sync_one_in: 0 };
        assert_eq!(Schedule::parse("uniform:8:0"), Some(uniform));
        assert_eq!(Schedule::parse("pct:3:64"), Some(Schedule::Pct { depth: 3, steps: 64 }));
        for wrong in ["", "pct", "pct:3", "pct:3:x", "uniform:-1:2", "other:1:2"] {
            assert_eq!(Schedule::parse(wrong), None, "{wrong}");
        }
    }
}
