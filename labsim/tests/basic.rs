//! The crate as its users call it: `#[test]` functions, each run in a child process.

use std::time::{Duration, Instant};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

#[test]
fn sleeping_takes_no_time() {
    labsim::Test::new("sleeping_takes_no_time").runs(4).run(|_| {
        let start = Instant::now();
        std::thread::sleep(Duration::from_secs(1000));
        let slept = start.elapsed();
        assert!(slept >= Duration::from_secs(1000) && slept < Duration::from_secs(1001));
        String::new()
    });
}
