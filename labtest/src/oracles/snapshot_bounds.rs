//! **A snapshot covers what was applied.** A server's snapshot is its service's state "after applying" an index (section
//! 7), and its log is discarded up to there only: snapshot <= applied <= committed <= last index.
//!
//! Why it accuses nobody who is right: a server sends a snapshot that its service made, of what it has applied in this life
//! or an earlier one, or one that it was sent itself and may not have applied yet. Where a service keeps no record of what
//! it applies, nothing is known. (That applied is committed and committed is in the log is for the commit rule.)

use super::{Judged, Rule};
use crate::events::{Content, Seen, What};

pub(crate) const RULE: Rule = Rule {
    id: "snapshot-within-applied",
    says: "a snapshot covers no index that its server has neither applied nor been sent in a snapshot",
    paper: "section 7; figure 13, lastIncludedIndex",
};

pub(crate) struct SnapshotBounds {
    /// Per server, the highest index that it applied or that a snapshot brought it.
    highest: Vec<u64>,
    /// What is applied is recorded.
    recorded: bool,
}

impl SnapshotBounds {
    pub(crate) fn new(servers: usize) -> SnapshotBounds {
        SnapshotBounds { highest: vec![0; servers], recorded: false }
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        if let What::Apply { life, index, .. } | What::ApplySnapshot { life, index, .. } = *seen.what {
            self.recorded = true;
            let highest = &mut self.highest[life.server];
            *highest = index.max(*highest);
        }
        if let Some((from, to, Content::Other)) = seen.sent {
            if from.server != to.server {
                // It may have brought a snapshot of whatever length.
                self.highest[to.server] = u64::MAX;
            }
        }
        let Some(arrival) = seen.arrival else { return Ok(()) };
        let Content::InstallSnapshot(install) = arrival.request else { return Ok(()) };
        let (from, index) = (arrival.from.server, install.last_included_index);
        if self.recorded && index > self.highest[from] {
            return RULE.broken(
                format!(
                    "server {from} sends a snapshot up to index {index}, but has applied no more than index {}",
                    self.highest[from]
                ),
                [],
            );
        }
        let highest = &mut self.highest[arrival.to.server];
        *highest = index.max(*highest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    /// Server 0 leads term 4; entries 1 and 2 are committed.
    fn committed() -> Script {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s
    }

    #[test]
    fn a_snapshot_beyond_what_was_applied_is_an_error() {
        let mut s = committed();
        s.apply(0, 1, "a");
        s.snapshot(0, 2, 4, (2, 4));
        s.objects(&RULE, "server 0 sends a snapshot up to index 2, but has applied no more than index 1");
    }

    #[test]
    fn a_snapshot_may_be_passed_on_before_it_is_applied() {
        let mut s = committed();
        s.apply(0, 1, "a");
        s.apply(0, 2, "b");
        let sent = s.snapshot(0, 2, 4, (2, 4));
        s.accepts(sent);
        s.elect(2, 5, (2, 4));
        s.snapshot(2, 1, 5, (2, 4));
        s.is_silent();
    }

    #[test]
    fn without_a_record_nothing_is_known() {
        let mut s = committed();
        s.snapshot(0, 2, 4, (2, 4));
        s.is_silent();
    }

    #[test]
    fn a_snapshot_may_have_come_by_a_call_that_nobody_understands() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.apply(0, 1, "a");
        s.apply(0, 2, "b");
        s.opaque(0, 2);
        s.restart(2);
        s.elect(2, 5, (2, 4));
        s.snapshot(2, 1, 5, (2, 4));
        s.is_silent();
    }
}
