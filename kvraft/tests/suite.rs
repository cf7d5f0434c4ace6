//! The suites of labs 3A and 3B: `cargo test 3A` runs the first, and so on.
#![forbid(unsafe_code)]
// Test functions end in the name of their lab, which is written with a capital letter.
#![allow(non_snake_case)]

/// In virtual time the run's memory lies at the same addresses each time, and threads are preempted where they
/// allocate.
#[global_allocator]
static ALLOC: labtest::Alloc = labtest::Alloc;
