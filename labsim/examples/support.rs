//! Says in one line whether there is virtual time here, and if not, why: `yes`, or `no: the reason`. Not only asks but tries.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

fn main() -> ExitCode {
    let hour = Duration::from_secs(3600);
    let trial = || {
        let report = labsim::run(labsim::Options::new(1), move || {
            let begun = Instant::now();
            thread::spawn(move || thread::sleep(hour)).join().map(|()| begun.elapsed())
        });
        match report.result {
            Ok(Ok(took)) if took >= hour => Ok(()),
            other => Err(format!("an hour of sleeping came to {other:?}")),
        }
    };
    match labsim::unsupported().map_or_else(trial, |why| Err(why.to_owned())) {
        Ok(()) => {
            println!("yes");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("no: {why}");
            ExitCode::FAILURE
        }
    }
}
