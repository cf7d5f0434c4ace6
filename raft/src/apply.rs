//! Handing committed entries to the service.

use crate::core::Core;

/// What the applier hands over next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ToApply {
    /// The snapshot on disk, which ends at this index and term.
    Snapshot { index: u64, term: u64 },
    /// The commands from index `first` on.
    Commands { first: u64, commands: Vec<Vec<u8>> },
}

/// How many commands are copied under one hold of the mutex.
const MAX_COMMANDS: u64 = 512;

impl Core {
    /// Whether the service lacks something that it may have.
    pub(crate) fn has_something_to_apply(&self) -> bool {
        self.commit_index > self.last_applied
    }

    /// Step 6. "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to state machine"
    /// (rules for all servers). What it returns counts as applied and is never returned again: the caller,
    /// and only one, hands it over in this order. If the log begins later, the leader has sent a snapshot, which
    /// goes before what follows it.
    pub(crate) fn next_to_apply(&mut self) -> Option<ToApply> {
        if self.log.snapshot_index() > self.last_applied {
            self.last_applied = self.log.snapshot_index();
            return Some(ToApply::Snapshot {
                index: self.log.snapshot_index(),
                term: self.log.snapshot_term(),
            });
        }
        if self.commit_index <= self.last_applied {
            return None;
        }
        let first = self.last_applied + 1;
        let count = (self.commit_index - self.last_applied).min(MAX_COMMANDS);
        self.last_applied += count;
        let entries = &self.log.entries_from(first)[..count as usize];
        Some(ToApply::Commands {
            first,
            commands: entries.iter().map(|entry| entry.command.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::core::tests::{core, core_after};
    use crate::messages::InstallSnapshotArgs;

    fn commands(first: u64, count: usize) -> Option<ToApply> {
        Some(ToApply::Commands { first, commands: vec![b"x".to_vec(); count] })
    }

    #[test]
    fn what_is_committed_is_applied_in_order_and_once() {
        let mut core = core(0, 3, 2, &[1, 1, 2, 2]);
        assert_eq!(core.next_to_apply(), None);
        core.commit_index = 2;
        assert!(core.has_something_to_apply());
        assert_eq!(core.next_to_apply(), commands(1, 2));
        assert_eq!((core.next_to_apply(), core.has_something_to_apply()), (None, false));
        core.commit_index = 3;
        assert_eq!(core.next_to_apply(), commands(3, 1));
    }

    #[test]
    fn after_a_restart_application_begins_behind_the_snapshot() {
        let mut core = core_after(0, 3, 2, (6, 1), &[2, 2]);
        core.commit_index = 8;
        assert_eq!(core.next_to_apply(), commands(7, 2));
    }

    #[test]
    fn a_snapshot_from_the_leader_goes_first() {
        let mut core = core(0, 3, 2, &[1, 1]);
        core.commit_index = 2;
        let args = InstallSnapshotArgs {
            term: 2,
            last_included_index: 7,
            last_included_term: 2,
            ..Default::default()
        };
        assert!(core.handle_install_snapshot(&args, Instant::now()).1);
        assert!(core.has_something_to_apply());
        assert_eq!(core.next_to_apply(), Some(ToApply::Snapshot { index: 7, term: 2 }));
        assert_eq!(core.next_to_apply(), None);
    }

    #[test]
    fn long_backlogs_go_in_batches() {
        let mut core = core(0, 3, 2, &[1; 700]);
        core.commit_index = 700;
        assert_eq!(core.next_to_apply(), commands(1, 512));
        assert_eq!(core.next_to_apply(), commands(513, 188));
    }
}
