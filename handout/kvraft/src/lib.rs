//! Your key/value service, built on your Raft.
//!
//! | file | what is in it |
//! |---|---|
//! | `messages.rs` | what clerks and servers say to each other; all of it is yours to change |
//! | `clerk.rs` | the client: finds the leader, and asks until it has an answer |
//! | `server.rs` | a server: gives requests to Raft, executes what Raft has agreed on, and answers |
//!
//! Work in the order of the labs: 3A the service, 3B snapshots. `cargo test 3A` tells whether the first is right.
//! Split the files into as many as you like, and add unit tests of your own.
//!
//! What the tests call is fixed (`kvraft/tests/contract.rs` lists it); everything else is yours to change.
#![forbid(unsafe_code)]
// Delete this line when you have filled everything in: the compiler's warnings are good advice.
#![allow(dead_code, unused_imports, unused_variables)]

mod clerk;
mod messages;
mod server;

pub use labnode::Persister;
pub use raft::{Raft, RaftClient};

pub use crate::clerk::Clerk;
pub use crate::messages::{GetArgs, GetReply, KvClient, KvService, PutAppendArgs, PutAppendReply};
pub use crate::server::KvServer;
