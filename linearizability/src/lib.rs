//! Decide whether a concurrent history is linearizable, explain why when it is not, and show it.
//!
//! A history is linearizable when every operation could have taken effect at one moment between its call and its
//! return, so that the answers are those of a sequential object (Herlihy and Wing, 1990). [`check`] decides that for
//! any [`Model`] of a sequential object:
//!
//! ```
//! use linearizability::models::{KvInput, KvStore};
//! use linearizability::{History, Operation, Options, Verdict, check};
//!
//! let history = History::new(vec![
//!     // client, call, what was asked, return, what was answered
//!     Operation::new(1, 10, KvInput::put("k", "a"), 20, "".into()),
//!     Operation::new(2, 15, KvInput::get("k"), 30, "a".into()),
//!     Operation::new(3, 31, KvInput::get("k"), 40, "".into()),
//! ])?;
//! match check(&KvStore, &history, &Options::default()) {
//!     Verdict::Linearizable(witness) => println!("in the order {:?}", witness.order),
//!     Verdict::Violation(violation) => println!("{}", violation.sentence), // this one
//!     Verdict::Unknown(why) => println!("{why}: not a pass"),
//! }
//! # Ok::<(), linearizability::MalformedHistory>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bits;
mod check;
mod general;
mod history;
mod kv;
mod model;
pub mod models;
mod page;
mod part;
mod procedure;
pub mod read;
mod recorder;
mod report;
mod search;
mod shrink;
mod text;
mod timeline;
mod verdict;
mod witness;

pub use check::{Options, check};
pub use history::{History, MAX_OPERATIONS, MalformedHistory, Mark, Operation, Returned};
pub use model::Model;
pub use page::page;
pub use part::Part;
pub use procedure::{Procedure, Progress, Slice};
pub use recorder::{Call, ClientLog, Recorder};
pub use report::{picture, report};
pub use text::{Pooled, Text, TextPool, Texts};
pub use verdict::{Refuted, Unknown, Verdict, Violation, Witness};
pub use witness::verify;
