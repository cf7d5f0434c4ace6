//! A replicated key/value service over Raft: the solution of labs 3A and 3B.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod clerk;
mod messages;
mod server;
mod state_machine;
mod waiters;

pub use labnode::Persister;
pub use raft::{Raft, RaftClient};

pub use crate::clerk::{Clerk, MAX_OP_BYTES};
pub use crate::messages::{KvClient, KvService, Op, Reply, Request, RequestId};
pub use crate::server::{KvServer, Reads};
