//! What clerks and servers say to each other. A [`Request`] is also what the log holds.

use serde::{Deserialize, Serialize};

labrpc::service! {
    /// What a server does for clerks.
    pub service "kv" {
        trait KvService; client KvClient;
        /// Executes an operation, and answers when its effect is permanent. Asked for the same one again, it does
        /// not execute it again.
        rpc execute(Request) -> Reply;
    }
}

/// An operation and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which operation of which clerk it is.
    pub id: RequestId,
    /// What is to be done.
    pub op: Op,
}

/// What tells an operation from all others, and a repeated request from a new one: "each client assigns unique
/// serial numbers to every command" (Raft, section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestId {
    /// The clerk: a number that no other has.
    pub client: u64,
    /// Counts the clerk's operations, from 1. It stays the same when the clerk asks again.
    pub seq: u64,
}

/// An operation on one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// The value of `key`.
    Get {
        /// The key.
        key: String,
    },
    /// `key` has `value` from now on.
    Put {
        /// The key.
        key: String,
        /// Its new value.
        value: String,
    },
    /// `value` is added to the end of what `key` has.
    Append {
        /// The key.
        key: String,
        /// What is added.
        value: String,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done. The value if it was a `Get`, nothing otherwise.
    Done(String),
    /// This server does not lead, or it did and ceased to while the operation was under way: ask another. The
    /// operation may have been executed all the same, or be executed yet.
    WrongLeader,
}
