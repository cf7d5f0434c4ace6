//! The trace of a run: one hash over every switch and every event, and on request the switches themselves.
//!
//! Two runs with the same hash took the same switches at the same virtual times and reported the same events.

use super::scheduler::{Nanos, ThreadId};

/// One entry of the recorded trace: who ran next and when, and the hash up to there (events included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) thread: u32,
    pub(crate) now: Nanos,
    pub(crate) hash: u64,
}

/// At most this many steps are kept; a difference later than that is found, but not located.
const STEPS_MAX: usize = 2_000_000;

#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    steps: Option<Vec<Step>>,
}

impl Trace {
    pub(crate) fn new(record: bool) -> Self {
        Trace { hash: 0x6c62_272e_07bb_0142, steps: record.then(Vec::new) }
    }

    pub(crate) fn switch(&mut self, thread: ThreadId, now: Nanos) {
        self.mix(u64::from(thread.0) ^ now.rotate_left(20));
        if let Some(steps) = &mut self.steps {
            if steps.len() < STEPS_MAX {
                steps.push(Step { thread: thread.0, now, hash: self.hash });
            }
        }
    }

    pub(crate) fn event(&mut self, value: u64) {
        self.mix(value ^ 0x5555_5555_5555_5555);
    }

    fn mix(&mut self, value: u64) {
        let product = u128::from(self.hash ^ value) * 0x9e37_79b9_7f4a_7c15;
        self.hash = (product >> 64) as u64 ^ product as u64 ^ value;
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn take_steps(&mut self) -> Vec<Step> {
        self.steps.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_time_and_events_all_show_in_the_hash() {
        let hash = |f: &dyn Fn(&mut Trace)| {
            let mut trace = Trace::new(false);
            f(&mut trace);
            trace.hash()
        };
        let (a, b) = (ThreadId(1), ThreadId(2));
        let base = hash(&|t| {
            t.switch(a, 5);
            t.switch(b, 5);
        });
        assert_eq!(
            base,
            hash(&|t| {
                t.switch(a, 5);
                t.switch(b, 5);
            })
        );
        for other in [
            hash(&|t| {
                t.switch(b, 5);
                t.switch(a, 5);
            }),
            hash(&|t| {
                t.switch(a, 5);
                t.switch(b, 6);
            }),
            hash(&|t| {
                t.switch(a, 5);
                t.event(0);
                t.switch(b, 5);
            }),
        ] {
            assert_ne!(base, other);
        }
    }
}
