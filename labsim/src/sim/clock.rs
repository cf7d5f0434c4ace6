//! The clock of one node as a function of the run's clock: an offset of the wall clock, and a drift.
//!
//! Nanoseconds throughout. The run's clock starts at zero; what threads read starts at [`MONOTONIC_START`], so
//! that a program may subtract from `Instant::now()`, and at [`WALL_START`] for `SystemTime`.

use super::scheduler::Nanos;

/// What `CLOCK_MONOTONIC` shows when a run starts: 10,000,000 s.
pub(crate) const MONOTONIC_START: Nanos = 10_000_000 * 1_000_000_000;
/// What `CLOCK_REALTIME` shows when a run starts: 2025-01-01 00:00:00 UTC.
pub(crate) const WALL_START: Nanos = 1_735_689_600 * 1_000_000_000;

const MILLION: i128 = 1_000_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct NodeClock {
    /// When the drift last changed, on the run's clock and on the node's; the clock is continuous there.
    changed: Nanos,
    local_at_change: Nanos,
    drift_ppm: i64,
    wall_offset: i64,
}

impl NodeClock {
    /// Sets wall-clock offset (ns) and drift (parts per million, at least -900,000) from `now` on.
    pub(crate) fn set(&mut self, now: Nanos, wall_offset: i64, drift_ppm: i64) {
        self.local_at_change = self.local(now);
        self.changed = now;
        self.drift_ppm = drift_ppm.max(-900_000);
        self.wall_offset = wall_offset;
    }

    /// The node's elapsed time at the run's time `now`.
    pub(crate) fn local(&self, now: Nanos) -> Nanos {
        if self.drift_ppm == 0 {
            return now - self.changed + self.local_at_change;
        }
        let elapsed = i128::from(now - self.changed) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.local_at_change + elapsed as Nanos
    }

    /// The first moment of the run at which the node's elapsed time is at least `local`. A moment before the
    /// last change of the drift is given as that change: it is past in any case.
    pub(crate) fn global(&self, local: Nanos) -> Nanos {
        let ahead = i128::from(local.saturating_sub(self.local_at_change));
        if self.drift_ppm == 0 {
            return self.changed.saturating_add(ahead as Nanos);
        }
        let rate = MILLION + i128::from(self.drift_ppm);
        let elapsed = (ahead * MILLION + rate - 1) / rate;
        u64::try_from(i128::from(self.changed) + elapsed).unwrap_or(Nanos::MAX)
    }

    pub(crate) fn monotonic(&self, now: Nanos) -> Nanos {
        self.local(now) + MONOTONIC_START
    }

    pub(crate) fn wall(&self, now: Nanos) -> Nanos {
        (self.local(now) + WALL_START).saturating_add_signed(self.wall_offset)
    }

    /// The run's time at which this node's monotonic clock shows `at`.
    pub(crate) fn monotonic_deadline(&self, at: Nanos) -> Nanos {
        self.global(at.saturating_sub(MONOTONIC_START))
    }

    /// The run's time at which this node's wall clock shows `at`.
    pub(crate) fn wall_deadline(&self, at: Nanos) -> Nanos {
        self.global(at.saturating_add_signed(self.wall_offset.saturating_neg()).saturating_sub(WALL_START))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_continuous_and_inverts() {
        let mut clock = NodeClock::default();
        clock.set(1_000, 0, 500_000);
        assert_eq!(clock.local(1_000), 1_000);
        assert_eq!(clock.local(3_000), 4_000);
        clock.set(3_000, 0, -500_000);
        assert_eq!(clock.local(3_000), 4_000);
        assert_eq!(clock.local(5_000), 5_000);
        for local in [4_000, 4_001, 4_999, 5_000] {
            let global = clock.global(local);
            assert!(clock.local(global) >= local && (global == 3_000 || clock.local(global - 1) < local));
        }
    }

    #[test]
    fn offset_moves_only_the_wall_clock() {
        let mut clock = NodeClock::default();
        clock.set(10, -5_000, 0);
        assert_eq!(clock.monotonic(10), MONOTONIC_START + 10);
        assert_eq!(clock.wall(10), WALL_START + 10 - 5_000);
        assert_eq!(clock.wall_deadline(WALL_START), 5_000);
        assert_eq!(clock.monotonic_deadline(MONOTONIC_START + 77), 77);
    }
}
