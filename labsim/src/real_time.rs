//! A run in real time: the kernel schedules, the seed decides only what the program draws from it.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::report::{Failure, PanicNote, Report, ThreadDump, told};

/// As [`crate::run`], but nothing is simulated. Of the limits only the one of real time is kept.
pub(crate) fn run<R, F>(options: &Options, f: F) -> Report<R>
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    // One run at a time, as with simulated ones: they would take each other's processor time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let body = move || {
        let _ = sender.send(panic::catch_unwind(AssertUnwindSafe(f)));
    };
    if let Err(error) = thread::Builder::new().name("main".into()).spawn(body) {
        panic!("labsim: no thread for the run: {error}");
    }
    let result = match receiver.recv_timeout(options.wall_max) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(payload)) => {
            Err(told(&*payload).unwrap_or_else(|| Failure::Panicked(note(&*payload, start.elapsed()))))
        }
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let dump =
                ThreadDump { name: "main".into(), state: "has not ended".into(), ..Default::default() };
            Err(Failure::WallLimit(options.wall_max, dump))
        }
    };
    Report {
        result,
        seed: options.seed,
        simulated: false,
        elapsed: start.elapsed(),
        trace: 0,
        switches: 0,
        threads: 0,
        memory_peak: 0,
        alive: Vec::new(),
        stuck: Vec::new(),
        waiting: Vec::new(),
        panics: Vec::new(),
        steps: Vec::new(),
        names: Vec::new(),
        locks: Vec::new(),
        evidence: Vec::new(),
    }
}

fn note(payload: &(dyn Any + Send), at: Duration) -> PanicNote {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    PanicNote {
        thread: "main".into(),
        node: String::new(),
        at,
        message: text.unwrap_or_else(|| "a value that is not text".into()),
        location: "a place that the output above names".into(),
    }
}
