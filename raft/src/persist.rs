//! What survives a crash (figure 2, "Persistent state on all servers"; section 7 for the snapshot).
//!
//! The disk holds a journal: records, each of which replaces or extends what those before it said. A change
//! costs what changed, not the length of the log. When more has been appended since the journal was last
//! written whole than it held then, it is written whole again, so that it stays within about twice the size
//! of what it says, at a cost per byte that does not grow.

use std::borrow::Cow;

use labnode::Persister;
use serde::{Deserialize, Serialize};

use crate::core::{Core, Persistent, Unsaved};
use crate::log::{Log, MAX_INDEX};
use crate::messages::LogEntry;
use crate::replication::batch_len;

/// Below this much appended, rewriting the journal is not worth it.
const MIN_APPENDED_BYTES: usize = 512;

/// One step of the journal.
#[derive(Debug, Serialize, Deserialize)]
enum Record<'a> {
    /// `current_term` and `voted_for`.
    Vote { term: u64, voted_for: Option<usize> },
    /// The log begins anew, empty, after a snapshot.
    LogAfter { snapshot_index: u64, snapshot_term: u64 },
    /// The log ends before index `first`, and goes on with these entries.
    Entries { first: u64, entries: Cow<'a, [LogEntry]> },
}

/// The disk of one server, as its Raft peer uses it.
pub(crate) struct Storage {
    persister: Persister,
    /// Bytes of the journal when it was last written whole.
    whole_bytes: usize,
    /// Bytes appended since.
    appended_bytes: usize,
}

/// Why a disk cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("record {record} cannot be decoded: {source}")]
    Decode { record: usize, source: labcodec::DecodeError },
    #[error("record {record} puts entries at index {first} of a log that reaches from {after} to {last}")]
    Gap { record: usize, first: u64, after: u64, last: u64 },
    #[error("record {record} has a snapshot end at index {snapshot_index}, beyond all logs")]
    Index { record: usize, snapshot_index: u64 },
}

impl Storage {
    /// Reads the disk: the state as it was last saved, or as on first boot if it never was.
    pub(crate) fn load(persister: Persister) -> Result<(Storage, Persistent), LoadError> {
        let journal = persister.state();
        let mut state = Persistent::default();
        for (record, decoded) in labcodec::decode_stream::<Record<'static>>(&journal).enumerate() {
            match decoded.map_err(|source| LoadError::Decode { record, source })? {
                Record::Vote { term, voted_for } => (state.current_term, state.voted_for) = (term, voted_for),
                Record::LogAfter { snapshot_index, .. } if snapshot_index > MAX_INDEX => {
                    return Err(LoadError::Index { record, snapshot_index });
                }
                Record::LogAfter { snapshot_index, snapshot_term } => {
                    state.log = Log::starting_after(snapshot_index, snapshot_term);
                }
                Record::Entries { first, entries } => {
                    let (after, last) = (state.log.snapshot_index(), state.log.last_index());
                    if first <= after || first > last + 1 {
                        return Err(LoadError::Gap { record, first, after, last });
                    }
                    state.log.truncate_from(first);
                    for entry in entries.into_owned() {
                        state.log.push(entry);
                    }
                }
            }
        }
        // How much of the journal is still needed was known to the last incarnation alone.
        Ok((Storage { persister, whole_bytes: 0, appended_bytes: journal.len() }, state))
    }

    /// Saves what has changed. "Updated on stable storage before responding to RPCs": called before the mutex
    /// over `core` is released, so that nobody can see, and no message can tell, what is not yet saved.
    pub(crate) fn save_changes(&mut self, core: &mut Core) {
        let Unsaved { term_or_vote, log_from } = std::mem::take(&mut core.unsaved);
        let mut journal = Vec::new();
        if term_or_vote {
            write_vote(core, &mut journal);
        }
        if let Some(first) = log_from {
            write_entries(core, first, &mut journal);
        }
        if journal.is_empty() {
            return;
        }
        self.appended_bytes += journal.len();
        if self.appended_bytes > self.whole_bytes.max(MIN_APPENDED_BYTES) {
            self.save_whole(core, None);
        } else {
            self.persister.append(&journal);
        }
    }

    /// Saves a snapshot together with the log that is left behind it, in one step.
    pub(crate) fn save_snapshot(&mut self, core: &mut Core, snapshot: Vec<u8>) {
        self.save_whole(core, Some(snapshot));
    }

    /// The snapshot that was last saved.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.persister.snapshot()
    }

    fn save_whole(&mut self, core: &mut Core, snapshot: Option<Vec<u8>>) {
        core.unsaved = Unsaved::default();
        let mut journal = Vec::new();
        write_vote(core, &mut journal);
        let (snapshot_index, snapshot_term) = (core.log.snapshot_index(), core.log.snapshot_term());
        write(&Record::LogAfter { snapshot_index, snapshot_term }, &mut journal);
        write_entries(core, snapshot_index + 1, &mut journal);
        (self.whole_bytes, self.appended_bytes) = (journal.len(), 0);
        self.persister.save(journal, snapshot);
    }
}

fn write_vote(core: &Core, journal: &mut Vec<u8>) {
    write(&Record::Vote { term: core.current_term, voted_for: core.voted_for }, journal);
}

/// The log from `first` on, in records of a size that decodes within limits.
fn write_entries(core: &Core, mut first: u64, journal: &mut Vec<u8>) {
    loop {
        let rest = core.log.entries_from(first);
        let entries = &rest[..batch_len(rest)];
        write(&Record::Entries { first, entries: Cow::Borrowed(entries) }, journal);
        first += entries.len() as u64;
        if entries.len() == rest.len() {
            return;
        }
    }
}

fn write(record: &Record<'_>, journal: &mut Vec<u8>) {
    labcodec::encode_into(journal, record).expect("a record is at most a batch or a command long");
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::core::tests::{core, core_after, entry, terms};
    use crate::messages::{AppendEntriesArgs, RequestVoteArgs};

    fn storage(disk: &Persister) -> Storage {
        Storage::load(disk.clone()).unwrap().0
    }

    fn restart(disk: &Persister) -> Core {
        Core::new(0, 3, Storage::load(disk.clone()).unwrap().1, Instant::now())
    }

    fn append(prev: (u64, u64), terms: &[u64]) -> AppendEntriesArgs {
        AppendEntriesArgs {
            term: 9,
            leader_id: 1,
            prev_log_index: prev.0,
            prev_log_term: prev.1,
            entries: terms.iter().map(|&term| entry(term)).collect(),
            leader_commit: 0,
        }
    }

    #[test]
    fn a_blank_disk_is_a_first_boot() {
        let core = restart(&Persister::new());
        assert_eq!((core.current_term, core.voted_for, core.log), (0, None, Log::default()));
    }

    #[test]
    fn term_vote_and_log_come_back() {
        let disk = Persister::new();
        let (mut storage, mut core) = (storage(&disk), core(0, 3, 4, &[]));
        let ask = RequestVoteArgs { term: 5, candidate_id: 2, ..Default::default() };
        assert!(core.handle_request_vote(&ask, Instant::now()).vote_granted);
        storage.save_changes(&mut core);
        let back = restart(&disk);
        assert_eq!((back.current_term, back.voted_for), (5, Some(2)));

        core.handle_append_entries(append((0, 0), &[3, 5, 5]), Instant::now());
        storage.save_changes(&mut core);
        core.handle_append_entries(append((1, 3), &[7]), Instant::now());
        storage.save_changes(&mut core);
        let back = restart(&disk);
        assert_eq!((back.current_term, back.voted_for, terms(&back)), (9, None, vec![3, 7]));
    }

    #[test]
    fn nothing_is_written_when_nothing_changed() {
        let disk = Persister::new();
        let (mut storage, mut core) = (storage(&disk), core(0, 3, 0, &[]));
        core.handle_append_entries(append((0, 0), &[1]), Instant::now());
        storage.save_changes(&mut core);
        let before = disk.state();
        core.handle_append_entries(append((1, 1), &[]), Instant::now());
        storage.save_changes(&mut core);
        assert_eq!(disk.state(), before);
    }

    #[test]
    fn a_snapshot_and_the_log_behind_it_are_saved_in_one_step() {
        let disk = Persister::new();
        let (mut storage, mut core) = (storage(&disk), core(0, 3, 4, &[1, 2, 2, 4]));
        core.take_snapshot(3);
        storage.save_snapshot(&mut core, b"state at 3".to_vec());
        assert_eq!(disk.snapshot(), b"state at 3");
        // A later save keeps it.
        core.handle_append_entries(append((4, 4), &[9]), Instant::now());
        storage.save_changes(&mut core);
        assert_eq!(disk.snapshot(), b"state at 3");
        let back = restart(&disk);
        assert_eq!((back.log.snapshot_index(), back.log.snapshot_term(), terms(&back)), (3, 2, vec![4, 9]));
    }

    /// A vote that a rewrite of the journal forgot would be given twice after a crash.
    #[test]
    fn term_and_vote_survive_a_snapshot_and_a_rewrite() {
        let disk = Persister::new();
        let (mut storage, mut core) = (storage(&disk), core(0, 3, 4, &[1, 2]));
        core.handle_request_vote(
            &RequestVoteArgs { term: 5, candidate_id: 2, last_log_index: 9, last_log_term: 4 },
            Instant::now(),
        );
        core.take_snapshot(1);
        storage.save_snapshot(&mut core, b"state at 1".to_vec());
        let back = restart(&disk);
        assert_eq!((back.current_term, back.voted_for, terms(&back)), (5, Some(2), vec![2]));
        storage.save_whole(&mut core, None);
        let back = restart(&disk);
        assert_eq!((back.current_term, back.voted_for, terms(&back)), (5, Some(2), vec![2]));
    }

    #[test]
    fn the_journal_stays_within_twice_what_it_says_over_restarts_too() {
        let disk = Persister::new();
        let (mut storage, mut core) = (storage(&disk), core(0, 3, 0, &[]));
        for term in 1..2000 {
            core.observe_term(term, Instant::now());
            storage.save_changes(&mut core);
            assert!(disk.state_size() <= 2 * MIN_APPENDED_BYTES);
            if term % 10 == 0 {
                (storage, core) = (Storage::load(disk.clone()).unwrap().0, restart(&disk));
            }
        }
        assert_eq!(restart(&disk).current_term, 1999);
    }

    #[test]
    fn a_long_log_is_written_in_several_records() {
        let disk = Persister::new();
        let (mut storage, mut core) = (storage(&disk), core_after(0, 3, 4, (7, 2), &[4; 20_000]));
        storage.save_whole(&mut core, None);
        assert_eq!(restart(&disk).log, core.log);
        assert!(labcodec::decode_stream::<Record<'static>>(&disk.state()).count() > 3);
    }

    #[test]
    fn damage_is_named() {
        let disk = Persister::new();
        let (mut storage, mut core) = (storage(&disk), core(0, 3, 0, &[]));
        core.handle_append_entries(append((0, 0), &[1, 1]), Instant::now());
        storage.save_changes(&mut core);
        let mut state = disk.state();
        state.pop();
        disk.save(state, None);
        let error = Storage::load(disk.clone()).err().unwrap().to_string();
        assert!(error.starts_with("record 1 cannot be decoded"), "{error}");

        let mut state = Vec::new();
        write(&Record::LogAfter { snapshot_index: 5, snapshot_term: 1 }, &mut state);
        write(&Record::Entries { first: 9, entries: Cow::Owned(vec![entry(1)]) }, &mut state);
        disk.save(state, None);
        let error = Storage::load(disk.clone()).err().unwrap().to_string();
        assert_eq!(error, "record 1 puts entries at index 9 of a log that reaches from 5 to 5");

        let mut state = Vec::new();
        write(&Record::LogAfter { snapshot_index: 5, snapshot_term: 1 }, &mut state);
        write(&Record::Entries { first: 5, entries: Cow::Owned(vec![entry(1)]) }, &mut state);
        disk.save(state, None);
        let error = Storage::load(disk.clone()).err().unwrap().to_string();
        assert_eq!(error, "record 1 puts entries at index 5 of a log that reaches from 5 to 5");

        let mut state = Vec::new();
        write(&Record::LogAfter { snapshot_index: u64::MAX, snapshot_term: 1 }, &mut state);
        disk.save(state, None);
        let error = Storage::load(disk).err().unwrap().to_string();
        assert!(error.starts_with("record 0 has a snapshot end at index 18446744073709551615"), "{error}");
    }
}
