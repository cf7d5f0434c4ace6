//! The suites of labs 3A and 3B: `cargo test 3A` runs the first, and so on.
//!
//! The tests of a lab stand in its own file and read as stories of what happens to servers and their clerks;
//! `config` is the cluster they speak of, `load` what most of them have in common; those of `targeted` and `reads` each bring
//! about one schedule that seldom comes by chance. `contract` names what the tests
//! expect of the `kvraft` crate, `hostile` asks of servers what nobody should, and `misuse` shows the harness what is
//! wrong, which must object.
#![forbid(unsafe_code)]
// Test functions end in the name of their lab, which is written with a capital letter.
#![allow(non_snake_case)]

/// In virtual time the run's memory lies at the same addresses each time, and threads are preempted where they
/// allocate.
#[global_allocator]
static ALLOC: labtest::Alloc = labtest::Alloc;

mod appends;
mod config;
mod contract;
mod hostile;
mod lab_3a;
mod lab_3b;
mod load;
mod misuse;
mod reads;
mod targeted;
/// What the messages of the Raft peers mean: the rules of Raft are watched here too.
#[path = "../../raft/tests/wire.rs"]
mod wire;
