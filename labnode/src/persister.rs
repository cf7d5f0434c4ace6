//! The simulated disk of one server.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// A server's disk: two byte strings that survive its crashes, the Raft state and the service's snapshot.
///
/// Clones are handles to the same disk; [`fork`](Persister::fork) makes an independent copy. Every operation
/// is atomic and takes no time, and none of them blocks beyond the copying of its bytes: what has been saved
/// when a call returns is what a restarted server will find (paper, figure 2, "Persistent state on all
/// servers").
///
/// ```
/// use labnode::Persister;
///
/// let disk = Persister::new();
/// disk.save(b"term 3".to_vec(), Some(b"x = 1".to_vec()));
/// disk.save(b"term 4".to_vec(), None); // the snapshot stays
/// disk.append(b", voted for 2");
/// assert_eq!(disk.state(), b"term 4, voted for 2");
/// assert_eq!(disk.snapshot(), b"x = 1");
///
/// let found_by_the_next_life = disk.fork();
/// disk.save(b"written by a dead server".to_vec(), None);
/// assert_eq!(found_by_the_next_life.state(), b"term 4, voted for 2");
/// ```
#[derive(Clone)]
pub struct Persister {
    disk: Arc<Mutex<Disk>>,
    /// Surrounds each operation.
    shield: fn(&mut dyn FnMut()),
}

#[derive(Default)]
struct Disk {
    contents: Contents,
    observer: Option<Observer>,
}

#[derive(Clone, Default)]
struct Contents {
    state: Vec<u8>,
    snapshot: Vec<u8>,
}

type Observer = Box<dyn FnMut(&Persister) + Send>;

impl Persister {
    /// An empty disk.
    pub fn new() -> Persister {
        Persister::shielded(|operation| operation())
    }

    /// An empty disk for a harness that can stop a server's threads for good, as a crash would, which must not happen
    /// in the midst of an operation: `shield` is given each, to run it once on the calling thread.
    pub fn shielded(shield: fn(&mut dyn FnMut())) -> Persister {
        Persister { disk: Arc::default(), shield }
    }

    fn with<T>(&self, operation: impl FnOnce(&mut Disk) -> T) -> T {
        let (mut operation, mut result) = (Some(operation), None);
        (self.shield)(&mut || {
            result = operation.take().map(|operation| operation(&mut self.disk.lock()));
        });
        result.expect("the shield runs what it is given")
    }

    /// An independent disk with the same contents; writes to one are not seen by the other. The harness
    /// forks a crashed server's disk, so that late writes of the dead incarnation go nowhere.
    pub fn fork(&self) -> Persister {
        self.holding(self.with(|disk| disk.contents.clone()))
    }

    fn holding(&self, contents: Contents) -> Persister {
        let disk = Disk { contents, observer: None };
        Persister { disk: Arc::new(Mutex::new(disk)), shield: self.shield }
    }

    /// From now on shows `observer` a [`fork`](Persister::fork) of the disk after each write, before the write returns: for
    /// a harness that lets a machine fail between two of them. It must not use the disk itself. Forks have none.
    pub fn on_write(&self, observer: impl FnMut(&Persister) + Send + 'static) {
        self.with(|disk| disk.observer = Some(Box::new(observer)));
    }

    fn write(&self, change: impl FnOnce(&mut Contents)) {
        self.with(|disk| {
            change(&mut disk.contents);
            if let Some(observer) = &mut disk.observer {
                observer(&self.holding(disk.contents.clone()));
            }
        });
    }

    /// Replaces the Raft state, and the snapshot too if one is given, in one atomic step. `None` keeps the
    /// snapshot that is there.
    pub fn save(&self, state: Vec<u8>, snapshot: Option<Vec<u8>>) {
        self.write(|disk| {
            disk.state = state;
            if let Some(snapshot) = snapshot {
                disk.snapshot = snapshot;
            }
        });
    }

    /// Adds `record` to the end of the Raft state, atomically.
    pub fn append(&self, record: &[u8]) {
        self.write(|disk| disk.state.extend_from_slice(record));
    }

    /// The Raft state: what the last [`save`](Persister::save) wrote, then every record appended since.
    pub fn state(&self) -> Vec<u8> {
        self.with(|disk| disk.contents.state.clone())
    }

    /// The snapshot; empty if none was ever saved.
    pub fn snapshot(&self) -> Vec<u8> {
        self.with(|disk| disk.contents.snapshot.clone())
    }

    /// Bytes of Raft state, appended records included.
    pub fn state_size(&self) -> usize {
        self.with(|disk| disk.contents.state.len())
    }

    /// Bytes of the snapshot.
    pub fn snapshot_size(&self) -> usize {
        self.with(|disk| disk.contents.snapshot.len())
    }
}

impl fmt::Debug for Persister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, snapshot) = self.with(|disk| (disk.contents.state.len(), disk.contents.snapshot.len()));
        write!(f, "Persister {{ state: {state} bytes, snapshot: {snapshot} bytes }}")
    }
}

impl Default for Persister {
    fn default() -> Persister {
        Persister::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_replaces_the_state_and_keeps_the_snapshot_unless_given_one() {
        let disk = Persister::new();
        disk.save(b"one".to_vec(), Some(b"snap".to_vec()));
        disk.save(b"two".to_vec(), None);
        assert_eq!((disk.state(), disk.snapshot()), (b"two".to_vec(), b"snap".to_vec()));
        disk.save(b"three".to_vec(), Some(Vec::new()));
        assert_eq!((disk.state_size(), disk.snapshot_size()), (5, 0));
    }

    #[test]
    fn the_state_is_the_concatenation_of_records() {
        let disk = Persister::new();
        disk.append(b"ab");
        disk.append(b"");
        disk.append(b"c");
        assert_eq!(disk.state(), b"abc");
        assert_eq!(disk.state_size(), 3);
        disk.save(b"z".to_vec(), None);
        disk.append(b"y");
        assert_eq!(disk.state(), b"zy");
    }

    #[test]
    fn an_observer_sees_the_disk_after_each_write() {
        let disk = Persister::new();
        disk.save(b"before".to_vec(), Some(b"old".to_vec()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = seen.clone();
        disk.on_write(move |then| record.lock().push((then.state(), then.snapshot())));
        disk.append(b", after");
        disk.fork().append(b"elsewhere");
        disk.save(b"anew".to_vec(), None);
        disk.clone().save(b"anew".to_vec(), Some(b"new".to_vec()));
        let expected: [(&[u8], &[u8]); 3] =
            [(b"before, after", b"old"), (b"anew", b"old"), (b"anew", b"new")];
        assert_eq!(*seen.lock(), expected.map(|(state, snapshot)| (state.to_vec(), snapshot.to_vec())));
    }

    #[test]
    fn clones_share_a_disk_and_forks_do_not() {
        let disk = Persister::new();
        disk.save(b"old".to_vec(), Some(b"snap".to_vec()));
        let (handle, fork) = (disk.clone(), disk.fork());
        handle.append(b"+");
        fork.append(b"-");
        assert_eq!((disk.state(), fork.state()), (b"old+".to_vec(), b"old-".to_vec()));
        assert_eq!(fork.snapshot(), b"snap");
    }
}
