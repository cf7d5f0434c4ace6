//! Checks what the documentation says, so that it cannot rot.
//!
//! The examples of `docs/rust-for-this-lab.md` are this crate's documentation tests; they share the `ping` service below.
//! `tests/` checks the rest: links, names of tests and files, commands, tables, editions. The crate's program runs the commands.
//!
//! | module | what it is |
//! |---|---|
//! | [`markdown`] | what a page holds: headings, links, code, tables |
//! | [`workspace`] | what there is to be named: files, tests, packages |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod markdown;
pub mod workspace;

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
