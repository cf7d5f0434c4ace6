//! The documentation's examples, compiled and run as documentation tests, and what they share. `tests/` checks the rest
//! of what the documentation says: links, names, commands, tables.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

#[doc = include_str!("../../docs/rust-for-this-lab.md")]
#[cfg(doctest)]
pub struct RustForThisLab;

labrpc::service! {
    /// A service with one call, for examples about calls.
    pub service "ping" {
        trait PingService; client PingClient;
        /// Answers with the callee's term.
        rpc ping(PingArgs) -> PingReply;
    }
}

/// What a caller says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PingArgs {
    /// The caller's term.
    pub term: u64,
}

/// What it is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PingReply {
    /// The callee's term.
    pub term: u64,
}
