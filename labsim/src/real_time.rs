//! A run in real time: the kernel schedules, the seed decides only what the program draws from it.

use std::any::Any;
#[cfg(simulated)]
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::options::Options;
#[cfg(simulated)]
use crate::report::ProcessEnd;
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
    let failed = sender.clone();
    // Nobody waits any more if the receiver has gone.
    set_present(Some(Box::new(move |failure| drop(failed.send(Err(failure))))));
    let body = move || {
        let returned = panic::catch_unwind(AssertUnwindSafe(f));
        let _ = sender.send(returned.map_err(|payload| {
            told(&*payload).unwrap_or_else(|| Failure::Panicked(note(&*payload, start.elapsed())))
        }));
    };
    if let Err(error) = thread::Builder::new().name("main".into()).spawn(body) {
        panic!("labsim: no thread for the run: {error}");
    }
    let mut result = match receiver.recv_timeout(options.wall_max) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let dump =
                ThreadDump { name: "main".into(), state: "has not ended".into(), ..Default::default() };
            Err(Failure::WallLimit(options.wall_max, dump))
        }
    };
    // Whoever has begun to end the run has ended it when this is done.
    set_present(None);
    if let Some(Err(failure)) = receiver.try_recv().ok().filter(|_| result.is_ok()) {
        result = Err(failure);
    }
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

/// How the run that is going on is ended. Locked while somebody does so.
type End = Box<dyn Fn(Failure) + Send>;

static PRESENT: Mutex<Option<End>> = Mutex::new(None);

fn set_present(end: Option<End>) {
    *PRESENT.lock().unwrap_or_else(PoisonError::into_inner) = end;
}

/// Ends the run that is going on, from any of its threads, which would end the process: `what` says by what, and with
/// which stack. Then it does not return. Returns if there is no run.
#[cfg(simulated)]
pub(crate) fn end(what: impl FnOnce() -> (ProcessEnd, Vec<String>)) {
    thread_local!(static IS_ENDING: Cell<bool> = const { Cell::new(false) });
    // Whoever aborts while it says why, aborts.
    if IS_ENDING.replace(true) {
        return;
    }
    let present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(end) = &*present else {
        IS_ENDING.set(false);
        return;
    };
    let (by, stack) = what();
    let name = thread::current().name().unwrap_or("unnamed").to_owned();
    end(Failure::ProcessEnded(by, ThreadDump { name, stack, state: "runs".into(), ..Default::default() }));
    drop(present);
    loop {
        thread::park();
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
