//! A pool of slots shared by all processes of a user: as many simulated runs at a time as there are processors,
//! whatever the number of test threads and test processes.
//!
//! A slot is the right to a name: an abstract Unix socket that listens under it. It needs no file, is given up
//! when its holder dies, however that happens, and can be waited for without polling: whoever finds every name
//! taken connects to all of them, and the connections end when a holder stops listening. Where names cannot be
//! had at all, a run goes ahead without: slots are for speed, not for correctness.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::OnceLock;
use std::thread;

/// The right to run; given up when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    held: Vec<UnixListener>,
    number: usize,
}

impl Slot {
    /// The processor that goes with it: only one thread of a run executes at a time, and on one processor they
    /// wake each other several times faster than across. `None` for a run that has all of them, or no slot.
    pub(crate) fn processor(&self) -> Option<usize> {
        (self.held.len() == 1).then(|| processors().get(self.number).copied()).flatten()
    }
}

/// The processors this process may run on.
fn processors() -> Vec<usize> {
    // SAFETY: a zeroed set is valid, and filled by the call.
    let set = unsafe {
        let mut set = std::mem::zeroed::<libc::cpu_set_t>();
        libc::sched_getaffinity(0, size_of_val(&set), &mut set);
        set
    };
    // SAFETY: within the set.
    (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

/// The number of slots: asked once, since the answer comes from half a dozen files.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Waits for a slot.
pub(crate) fn take_one() -> Slot {
    Pool::of_user().take_one()
}

/// Waits for all slots: a run in real time wants the machine to itself.
pub(crate) fn take_all() -> Slot {
    Pool::of_user().take_all()
}

struct Pool {
    name: String,
    size: usize,
}

impl Pool {
    fn of_user() -> Pool {
        // SAFETY: no arguments.
        let user = unsafe { libc::getuid() };
        Pool { name: format!("labsim-slot-{user}"), size: count() }
    }

    fn take_one(&self) -> Slot {
        loop {
            let mut taken = Vec::new();
            for number in 0..self.size {
                match self.listen(number) {
                    Ok(listener) => return Slot { held: vec![listener], number },
                    Err(error) if error.kind() == ErrorKind::AddrInUse => taken.push(number),
                    Err(_) => return Slot { held: Vec::new(), number },
                }
            }
            self.wait_for_any(&taken);
        }
    }

    /// In order of their numbers, so that two takers do not wait for each other.
    fn take_all(&self) -> Slot {
        let mut held = Vec::new();
        for number in 0..self.size {
            loop {
                match self.listen(number) {
                    Ok(listener) => break held.push(listener),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => self.wait_for_any(&[number]),
                    Err(_) => break,
                }
            }
        }
        Slot { held, number: 0 }
    }

    fn address(&self, number: usize) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(format!("{}-{number}", self.name))
    }

    fn listen(&self, number: usize) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&self.address(number)?)
    }

    /// Returns when one of the slots may be free.
    fn wait_for_any(&self, taken: &[usize]) {
        let connect = |number: &usize| UnixStream::connect_addr(&self.address(*number)?);
        // A refusal says that the holder is gone already.
        let Ok(waiting) = taken.iter().map(connect).collect::<io::Result<Vec<_>>>() else { return };
        let mut polled: Vec<libc::pollfd> = waiting
            .iter()
            .map(|stream| libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        // SAFETY: as many entries as there are.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, -1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, RecvTimeoutError};
    use std::time::Duration;

    fn pool(name: &str, size: usize) -> Pool {
        Pool { name: format!("labsim-test-{name}-{}", std::process::id()), size }
    }

    #[test]
    fn a_full_pool_makes_wait_until_a_slot_is_given_up() {
        let shared = pool("full", 2);
        let first = shared.take_one();
        let second = shared.take_one();
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| sender.send(shared.take_one()));
            let early = receiver.recv_timeout(Duration::from_millis(100));
            assert!(matches!(early, Err(RecvTimeoutError::Timeout)));
            drop(second);
            assert!(receiver.recv_timeout(Duration::from_secs(30)).is_ok());
        });
        drop(first);
    }

    #[test]
    fn all_means_all() {
        let shared = pool("all", 3);
        let all = shared.take_all();
        assert_eq!(all.held.len(), 3);
        assert!((0..3).all(|number| shared.listen(number).is_err()));
        assert_eq!(all.processor(), None);
        drop(all);
        assert!(shared.listen(2).is_ok());
        assert_eq!(shared.take_one().processor(), processors().first().copied());
    }
}
