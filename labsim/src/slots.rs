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
    #[cfg_attr(not(test), expect(dead_code, reason = "held, not read"))]
    held: Vec<UnixListener>,
}

/// Fewer slots than there are processors: a grader tells of a limit on CPU time that cannot be seen from its jail.
const VARIABLE: &str = "LABSIM_SLOTS";

/// The number of slots: asked once, since the answer comes from half a dozen files.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let there_are = thread::available_parallelism().map_or(1, usize::from);
        at_most(std::env::var(VARIABLE).ok().as_deref(), there_are)
    })
}

/// What was told, if it is a number that makes sense.
fn at_most(told: Option<&str>, there_are: usize) -> usize {
    let told = told.and_then(|told| told.parse().ok()).unwrap_or(there_are);
    told.clamp(1, there_are)
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
                    Ok(listener) => return Slot { held: vec![listener] },
                    Err(error) if error.kind() == ErrorKind::AddrInUse => taken.push(number),
                    Err(_) => return Slot { held: Vec::new() },
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
        Slot { held }
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
    fn slots_may_be_fewer_than_processors_but_not_more_nor_none() {
        let of_four = [None, Some("2"), Some("9"), Some("0"), Some("many")].map(|told| at_most(told, 4));
        assert_eq!(of_four, [4, 2, 4, 1, 4]);
    }

    #[test]
    fn all_means_all() {
        let shared = pool("all", 3);
        let all = shared.take_all();
        assert_eq!(all.held.len(), 3);
        assert!((0..3).all(|number| shared.listen(number).is_err()));
        drop(all);
        assert!(shared.listen(2).is_ok());
    }
}
