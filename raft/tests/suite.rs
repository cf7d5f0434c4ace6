//! The suites of labs 2A to 2D: `cargo test 2A` runs the first, and so on.
//!
//! The tests of a lab stand in its own file and read as stories of what happens to a cluster; `config` is the
//! cluster they speak of. `contract` names what the tests expect of the `raft` crate, and `misuse` tests what
//! is promised for wrong use and hostile input.
#![forbid(unsafe_code)]
// Test functions end in the name of their lab, which is written with a capital letter.
#![allow(non_snake_case)]

/// In virtual time the run's memory lies at the same addresses each time, and threads are preempted where they
/// allocate.
#[global_allocator]
static ALLOC: labtest::Alloc = labtest::Alloc;

mod config;
mod contract;
mod lab_2a;
mod lab_2b;
mod lab_2c;
mod lab_2d;
mod misuse;
mod real_cluster;
mod scenarios;
mod scene;
mod shadow;
mod torn;
mod watched;
mod wire;
