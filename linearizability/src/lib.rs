//! Decide whether a concurrent history is linearizable, explain why when it is not, and show it.
//!
//! A history is linearizable when every operation could have taken effect at one moment between its call and
//! its return, so that the answers are those of a sequential object (Herlihy and Wing, 1990). [`check()`]
//! decides that for any [`Model`] of a sequential object:
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
//!
//! # From a run to an explanation
//!
//! - **Record** with a [`Recorder`], or with [`models::KvRecorder`] for a key/value store, whose values then
//!   share memory; or build a [`History`] from [`Operation`]s, or [read](mod@read) one from a file.
//! - **Check** against a [`Model`]: one of [`models`], or your own, which may be nondeterministic. [`Options`]
//!   limit the cost, in configurations (the same verdict on every machine) or in time.
//! - **Show** the [`Verdict`] with [`report()`] on a terminal or with [`page()`] in a browser.
//!
//! The command `linearizability check FILE...` does all but the first.
//!
//! # What a verdict is worth
//!
//! - [`Verdict::Linearizable`] carries an order of the operations. Whatever method found it, [`verify`] has
//!   replayed it through the model and against the recorded stamps, and shares no code with the methods.
//! - [`Verdict::Violation`] carries a *core*: a few operations that cannot have happened together, whatever the
//!   others answered and whenever they happened. Usually two or three; they can be checked by eye.
//! - [`Verdict::Unknown`] says that the budget ended. It is not a pass.
//!
//! Operations that never returned may have taken effect at any time after their call, or never. Both methods
//! treat them exactly.
//!
//! # How it decides
//!
//! Linearizability is local, so a history is first split by [`Model::partition`], and every partition decided
//! by itself: in slices, in parallel, so that a hard key neither delays nor hides a violation on another
//! (`check.rs`).
//!
//! Key/value histories are decided by a method of their own (`kv.rs`), near-linear in the length of the history
//! and exact wherever each text read names the write it came from; the lengths it checks in milliseconds are
//! out of reach of any search. Where texts repeat they are told apart by real time. What remains ambiguous is
//! searched, over the values read instead of over strings.
//!
//! Everything else is searched depth-first (`search.rs`), going from return to return. A configuration takes a
//! few words however long the history is, and several rules spare the search most orders without losing a
//! verdict. It stays exponential in the number of clients at worst. A model whose later answers settle what
//! happened much earlier, as a long queue's do, is hard for it.
//!
//! # Limits
//!
//! A history may have 2^30 operations. The exact method keeps about 100 bytes an operation and reads each byte
//! of a value once; the search keeps about 100 bytes a configuration. A core is looked for within a fixed
//! budget: for violations that only search can find in long histories it may stay large, which
//! [`Violation::core_is_minimal`] tells.
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
