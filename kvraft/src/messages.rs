//! What clerks and servers say to each other.

use serde::{Deserialize, Serialize};

labrpc::service! {
    /// What a server does for clerks.
    pub service "kv" {
        trait KvService; client KvClient;
        /// Executes one operation, once, however often it is asked.
        async rpc execute(Request) -> Reply;
    }
}

/// An operation and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The clerk: a number that no other has.
    pub client: u64,
    /// The clerk's operations are numbered from 1; asking again does not change the number.
    pub seq: u64,
    /// What is to be done.
    pub op: Op,
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
    /// `value` is added to what `key` has.
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
    /// Done. For a `Get`, the value; otherwise empty.
    Done(String),
    /// This server does not lead, or no longer: ask another.
    WrongLeader,
}
