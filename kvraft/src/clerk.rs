//! [`Clerk`]: a client of the service.

use std::thread;
use std::time::Duration;

use crate::messages::{KvClient, Op, Reply, Request, RequestId};

/// How long a clerk waits for an answer before it asks another server. An operation takes a few milliseconds,
/// and up to a few tenths of a second when messages are lost; a leader that has lost its majority never answers.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a clerk pauses when no server has led: an election takes several times as long.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// The greatest length of key and value together, in bytes: what Raft takes as a command, less what comes with it.
pub const MAX_OP_BYTES: usize = (1 << 20) - 64;

/// A client of the service. It has one operation under way at a time, which `&mut self` sees to.
///
/// Each operation is executed exactly once, however often the clerk must ask for it. None of them returns before it
/// has been executed, however long that takes: a clerk that reaches no majority of the servers waits.
#[derive(Debug)]
pub struct Clerk {
    servers: Vec<KvClient>,
    /// The server that answered last: probably still the leader.
    leader: usize,
    id: u64,
    /// The number of the last operation.
    seq: u64,
}

impl Clerk {
    /// A clerk that reaches the servers through `servers`, in any order.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(servers: Vec<KvClient>) -> Clerk {
        assert!(!servers.is_empty(), "Clerk::new: a clerk needs at least one server, `servers` is empty");
        Clerk { servers, leader: 0, id: rand::random(), seq: 0 }
    }

    /// The value of `key`, empty if it has none.
    pub fn get(&mut self, key: &str) -> String {
        self.execute(Op::Get { key: key.to_owned() })
    }

    /// Gives `key` the value `value`.
    ///
    /// # Panics
    /// If both together are longer than [`MAX_OP_BYTES`].
    pub fn put(&mut self, key: &str, value: &str) {
        check_size(key, value);
        self.execute(Op::Put { key: key.to_owned(), value: value.to_owned() });
    }

    /// Adds `value` to the end of the value of `key`.
    ///
    /// # Panics
    /// If both together are longer than [`MAX_OP_BYTES`].
    pub fn append(&mut self, key: &str, value: &str) {
        check_size(key, value);
        self.execute(Op::Append { key: key.to_owned(), value: value.to_owned() });
    }

    /// Asks one server after the other, the probable leader first, until one has executed `op`.
    fn execute(&mut self, op: Op) -> String {
        self.seq += 1;
        let request = Request { id: RequestId { client: self.id, seq: self.seq }, op };
        loop {
            for _ in 0..self.servers.len() {
                let answer = self.servers[self.leader].execute(&request).timeout(ANSWER_TIMEOUT).wait();
                if let Ok(Reply::Done(value)) = answer {
                    return value;
                }
                // Not the leader, or not to be reached. Whatever it was, the next one may be better.
                self.leader = (self.leader + 1) % self.servers.len();
            }
            thread::sleep(ROUND_PAUSE);
        }
    }
}

fn check_size(key: &str, value: &str) {
    let bytes = key.len() + value.len();
    assert!(
        bytes <= MAX_OP_BYTES,
        "Clerk: a key and value of {bytes} bytes are above the limit of {MAX_OP_BYTES}"
    );
}
