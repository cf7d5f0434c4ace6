//! The values that pass between a Raft peer and the service above it.

use std::fmt;

/// What a peer hands to the service above it, in log order, over the apply channel.
///
/// Within one incarnation of a server each index is applied exactly once and in order (paper, section 5.3,
/// "State Machine Safety"); a snapshot replaces everything up to and including its index (section 7).
#[derive(Clone, PartialEq, Eq)]
pub enum ApplyMsg {
    /// The committed command at `index`. The first command of a log has index 1.
    Command {
        /// Position in the log, from 1.
        index: u64,
        /// The bytes that were given to `start`.
        command: Vec<u8>,
    },
    /// A snapshot received from the leader: the service's state after applying `index`.
    Snapshot {
        /// The last log index the snapshot covers.
        index: u64,
        /// The term of the entry at `index`.
        term: u64,
        /// The bytes that were given to `snapshot` on some server.
        data: Vec<u8>,
    },
}

impl fmt::Debug for ApplyMsg {
    /// Shows commands as text where they are text, and a snapshot by its size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyMsg::Command { index, command } => f
                .debug_struct("Command")
                .field("index", index)
                .field("command", &String::from_utf8_lossy(command))
                .finish(),
            ApplyMsg::Snapshot { index, term, data } => f
                .debug_struct("Snapshot")
                .field("index", index)
                .field("term", term)
                .field("bytes", &data.len())
                .finish(),
        }
    }
}

/// Where a command will stand in the log if it is ever committed: the answer of a leader to `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The log index the command was given, from 1.
    pub index: u64,
    /// The leader's current term.
    pub term: u64,
}

/// What a peer believes about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Its current term.
    pub term: u64,
    /// Whether it believes itself leader of that term. Another server may already lead a later one.
    pub is_leader: bool,
}

/// The answer to `start` of a server that is not the leader, and of a killed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this server is not the leader")]
pub struct NotLeader;
