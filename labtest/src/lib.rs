//! What the suites of all labs share: the entry of a test, a cluster of crashable servers, the checks on what
//! they apply, and the report of what went wrong.
//!
//! A test is an ordinary `#[test]` function that calls [`run`]:
//!
//! - its body runs in virtual time, once for each of several seeds, each time in a process of its own; all
//!   randomness, the order of the threads included, comes from the seed, which the report names. (`LAB_TIME=real`,
//!   and systems without virtual time: the wall clock and the system's scheduling.)
//! - it runs on a thread of its own, within a time limit;
//! - the first failed check or panic, in whichever thread, ends the run at once: every wait of the harness
//!   unwinds, and the test's report tells that failure and not a later symptom of it.
//!
//! | type | what it is |
//! |---|---|
//! | [`Run`] | one run of one test: clock, random streams, phases, interruptible waits, the first failure |
//! | [`Cluster`] | servers on a simulated network, to be crashed, restarted, cut off and joined |
//! | [`Beside`] | another cluster in the process, on empty disks, that is to begin with nothing |
//! | [`Station`] | a machine beside the servers, for a client of theirs |
//! | [`Incarnation`] | the life of a server between two crashes; knows which threads are its own |
//! | [`Applied`] | the record of what was applied, and its rules |
//! | [`Shadow`] | a server started from its disk as it was when it promised something, to be asked whether it keeps its word |
//! | [`events::Events`] | the stream of all that happened, message by message, which oracles watch: [`RULES`] |
//! | [`Applier`] | the thread that takes a peer's apply messages and enters them into the record |
//!
//! Nothing here knows Raft: a lab's `tests/` tells the cluster how its servers are made.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod about;
mod applied;
mod applier;
mod beside;
mod cluster;
mod eventlog;
pub mod events;
mod evidence;
mod failure;
mod files;
mod incarnation;
mod logger;
mod name;
mod oracles;
mod page;
mod report;
pub mod rules;
mod run;
mod runner;
mod shadow;
mod snapshot;
mod station;
mod text;
mod threads;

pub use applied::Applied;
pub use applier::Applier;
pub use beside::Beside;
pub use cluster::{Cluster, Node, Seat};
pub use evidence::Review;
pub use failure::{Finding, panic_message};
pub use incarnation::Incarnation;
/// The allocator that a suite installs, so that in virtual time addresses are the same in each run of a seed.
pub use labsim::Alloc;
/// Whether a run that passes is to leave evidence: see [`run_reviewed`].
pub use labsim::is_reviewed;
/// Whether the calling thread lives in virtual time.
pub use labsim::is_simulated;
/// For what holds a lock of the test on a thread of a server: it is not stopped in the midst of that.
pub use labsim::no_preempt;
/// The time since the start of the run, by its own clock and not by that of a server.
pub use labsim::now;
/// For what only observes a run, such as recorders: the run does not notice.
pub use labsim::observe;
/// Why there is no virtual time here; `None` if there is.
pub use labsim::unsupported;
pub use name::TestName;
pub use oracles::{Judged, Objection, RULES, Rule};
pub use page::timeline_page;
pub use run::{Run, Subject, Task};
pub use runner::{objection, run, run_named, run_reviewed, run_seeds};
pub use shadow::{Question, Shadow};
pub use snapshot::ServiceSnapshot;
pub use station::Station;
pub use text::{count, seconds, servers, show, thousands};
pub use threads::shielded;
