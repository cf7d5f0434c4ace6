//! A test binary that needs no leave to switch address randomisation off: it is linked with `-no-pie`, so that its
//! statics have fixed addresses; heap and stacks of a run have them anyway. The build script says how.
//!
//! Containers may forbid `personality()`. There this is what makes locks in statics replay.

#[path = "../tests/common/mod.rs"]
mod common;

use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

static LOCKS: [Mutex<u64>; 4] = [const { Mutex::new(0) }; 4];

fn contend() {
    thread::scope(|scope| {
        for i in 0..8 {
            scope.spawn(move || {
                for k in 0..200 {
                    let mut lock = LOCKS[(k / 20 + i) % 4].lock();
                    *lock += 1;
                    thread::sleep(Duration::from_micros(100 + (i * 13 + k * 7) as u64 % 400));
                }
            });
        }
    });
}

fn main() {
    let report = labsim::run(labsim::Options::new(1), contend);
    println!("trace={:016x}", report.trace);
}

#[test]
fn contended_statics() {
    labsim::Test::new("contended_statics").run(|_| {
        contend();
        String::new()
    });
}

#[test]
fn randomisation_makes_no_difference() {
    let keep = [("LABSIM_KEEP_RANDOMIZATION", "1")];
    let first = common::trace("contended_statics", 5, &keep);
    for _ in 1..common::repeats() {
        assert_eq!(common::trace("contended_statics", 5, &keep), first);
    }
}
