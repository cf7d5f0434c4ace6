//! [`Lane`]: one direction of a link, and the order in which messages arrive there.

use std::time::{Duration, Instant};

/// One direction of a link, for the messages that nothing delays: each of them has a latency of its own, and none
/// overtakes another.
#[derive(Default)]
pub(crate) struct Lane {
    /// When the last of them arrives.
    last_due: Option<Instant>,
}

impl Lane {
    /// When a message arrives that is sent now and could arrive at `due`.
    ///
    /// Not at the same moment as the one before it: on a clock that only moves while threads wait, even its
    /// handler has then gone as far as it can.
    pub(crate) fn join(&mut self, due: Instant) -> Instant {
        let behind = self.last_due.map(|last| last + Duration::from_nanos(1));
        *self.last_due.insert(behind.map_or(due, |behind| due.max(behind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_later_arrives_later_and_no_later_than_needed() {
        let start = Instant::now();
        let mut lane = Lane::default();
        let arrivals = [5, 9, 3, 9, 20].map(|due_ns| lane.join(start + Duration::from_nanos(due_ns)));
        assert_eq!(arrivals.map(|arrival| (arrival - start).as_nanos()), [5, 9, 10, 11, 20]);
    }
}
