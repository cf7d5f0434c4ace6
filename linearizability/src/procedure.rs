//! The seam between a model and the way its partitions are decided.

use std::time::Instant;

use crate::verdict::Violation;

/// Decides one partition, in slices, so that no partition keeps the others waiting.
pub trait Procedure: Send {
    /// Works on until the answer is known or the slice is used up. Called again it goes on where it
    /// stopped.
    fn run(&mut self, slice: &mut Slice) -> Progress;
}

/// What a procedure knows so far.
#[derive(Debug)]
pub enum Progress {
    /// Linearizable in this order of history ids: every completed operation once, pending ones at most once.
    Linearizable(Vec<usize>),
    /// Not linearizable.
    Violation(Box<Violation>),
    /// The slice ran out.
    Undecided,
}

/// How much work a procedure may do now.
#[derive(Debug)]
pub struct Slice {
    configurations: u64,
    used: u64,
    deadline: Option<Instant>,
    out_of_time: bool,
}

impl Slice {
    /// How many configurations pass between two looks at the clock, which cost more than a configuration.
    const CLOCK_EVERY: u64 = 256;

    /// A slice of so many configurations, ending at the deadline at the latest.
    pub fn new(configurations: u64, deadline: Option<Instant>) -> Self {
        Slice { configurations, used: 0, deadline, out_of_time: false }
    }

    /// Takes one configuration (one state of the search) out of the slice; false when there is none left.
    pub fn take(&mut self) -> bool {
        if self.used == self.configurations || self.out_of_time {
            return false;
        }
        // The clock is looked at only when there is a deadline: under a budget of configurations alone the
        // verdict is the same on every machine.
        if let Some(deadline) = self.deadline {
            if self.used % Self::CLOCK_EVERY == 0 && Instant::now() >= deadline {
                self.out_of_time = true;
                return false;
            }
        }
        self.used += 1;
        true
    }

    /// How many configurations were taken.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Whether the deadline passed.
    pub fn out_of_time(&self) -> bool {
        self.out_of_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_by_count_or_by_clock() {
        let mut slice = Slice::new(2, None);
        assert!(slice.take() && slice.take() && !slice.take());
        assert_eq!((slice.used(), slice.out_of_time()), (2, false));
        let mut late = Slice::new(2, Some(Instant::now()));
        assert!(!late.take());
        assert_eq!((late.used(), late.out_of_time()), (0, true));
    }
}
