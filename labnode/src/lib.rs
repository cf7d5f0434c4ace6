//! What a lab server is given and what it gives back.
//!
//! A server of the labs lives between two things: a [`Persister`], the disk that outlives its crashes, and
//! the service above it, to which it hands [`ApplyMsg`]s. The types here are the course's, shared by the
//! student's rooms (`raft`, `kvraft`), which re-export them, and by the harness. They know nothing of either.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod messages;
mod persister;

pub use messages::{ApplyMsg, NotLeader, Start, State};
pub use persister::Persister;
