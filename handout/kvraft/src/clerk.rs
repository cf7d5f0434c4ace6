//! A client of the service.
//!
//! A clerk does not know which server leads: it asks one, and another when that one does not lead, cannot be reached
//! or does not answer in time. It goes on until it has its answer, however long that takes. Whatever went wrong, the
//! request may have been executed; so asking again must be recognisable as the same request.

use std::thread;
use std::time::Duration;

use crate::messages::{GetArgs, KvClient, PutAppendArgs};

/// A client of the service. It has one operation under way at a time: `&mut self` sees to that.
pub struct Clerk {
    /// The servers, in random order: positions here are not Raft's.
    servers: Vec<KvClient>,
    // 3A: the server that led last, who this clerk is, and how many operations it has begun. `rand::random()` gives
    // a number that no other clerk has.
}

impl Clerk {
    /// A clerk that reaches the servers through `servers`.
    pub fn new(servers: Vec<KvClient>) -> Clerk {
        Clerk { servers }
    }

    /// The value of `key`, empty if it has none. Returns when it has the value.
    pub fn get(&mut self, key: &str) -> String {
        // `self.servers[i].get(&args)` sends the request at once; `.timeout(d)` limits the time for an answer; `.wait()`
        // waits for it. Without a limit a leader that has lost its majority would hold you for ever.
        todo!("3A: write Clerk::get in kvraft/src/clerk.rs: ask one server after the other until one answers")
    }

    /// Gives `key` the value `value`. Returns when that has happened.
    pub fn put(&mut self, key: &str, value: &str) {
        self.put_append(key, value, false);
    }

    /// Adds `value` to the end of the value of `key`. Returns when that has happened.
    pub fn append(&mut self, key: &str, value: &str) {
        self.put_append(key, value, true);
    }

    fn put_append(&mut self, key: &str, value: &str, append: bool) {
        todo!("3A: write Clerk::put_append in kvraft/src/clerk.rs: ask until it has been executed, once")
    }
}
