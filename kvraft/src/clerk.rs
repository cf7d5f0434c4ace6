//! [`Clerk`]: a client of the service.

use crate::messages::KvClient;

/// A client of the service.
pub struct Clerk {
    servers: Vec<KvClient>,
}

impl Clerk {
    /// A clerk that reaches the servers through `servers`, in any order.
    pub fn new(servers: Vec<KvClient>) -> Clerk {
        Clerk { servers }
    }

    /// The value of `key`, empty if it has none.
    pub fn get(&mut self, key: &str) -> String {
        unimplemented!("get {key} from {} servers", self.servers.len())
    }

    /// Gives `key` the value `value`.
    pub fn put(&mut self, key: &str, value: &str) {
        unimplemented!("put {key} {value} to {} servers", self.servers.len())
    }

    /// Adds `value` to what `key` has.
    pub fn append(&mut self, key: &str, value: &str) {
        unimplemented!("append {key} {value} to {} servers", self.servers.len())
    }
}
