//! [`Call`]: one call from its start to the moment its caller has the outcome.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::job::{Callback, Job};
use crate::link::Link;
use crate::message::Method;
use crate::observe::CallId;
use crate::server::Callee;
use crate::service::Outcome;

/// One call. Shared by its future, its link and its messages on the way.
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) link: Arc<Link>,
    /// Which call of the link this is.
    pub(crate) number: u64,
    pub(crate) method: &'static Method,
    pub(crate) args: Vec<u8>,
    pub(crate) start: Instant,
    /// The server it was sent to, if that could be reached then.
    pub(crate) callee: Option<Arc<Callee>>,
    state: Mutex<State>,
    done: Condvar,
}

enum State {
    Pending(Waiter),
    Done(Outcome),
    Taken,
}

/// Who is to be told of the outcome, apart from a thread that waits on `done`.
enum Waiter {
    Thread,
    Task(Waker),
    Callback(Callback),
}

/// The caller, to be woken when no lock is held.
#[must_use]
pub(crate) enum Wake {
    Nobody,
    Thread,
    Task(Waker),
    Callback(Callback, Outcome),
}

impl Call {
    pub(crate) fn new(
        id: CallId,
        link: &Arc<Link>,
        number: u64,
        method: &'static Method,
        args: Vec<u8>,
        start: Instant,
        callee: Option<Arc<Callee>>,
    ) -> Self {
        let state = Mutex::new(State::Pending(Waiter::Thread));
        Call { id, link: Arc::clone(link), number, method, args, start, callee, state, done: Condvar::new() }
    }

    /// Settles the outcome, unless it is settled.
    pub(crate) fn finish(&self, outcome: Outcome) -> Wake {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Pending(Waiter::Callback(callback)) => Wake::Callback(callback, outcome),
            State::Pending(waiter) => {
                *state = State::Done(outcome);
                match waiter {
                    Waiter::Task(waker) => Wake::Task(waker),
                    _ => Wake::Thread,
                }
            }
            settled => {
                *state = settled;
                Wake::Nobody
            }
        }
    }

    pub(crate) fn wake(&self, wake: Wake) {
        match wake {
            Wake::Nobody => (),
            Wake::Thread => drop(self.done.notify_all()),
            Wake::Task(waker) => waker.wake(),
            Wake::Callback(callback, outcome) => self.link.pool.submit(Job::Callback(callback, outcome)),
        }
    }

    /// Waits for the outcome, and takes it.
    pub(crate) fn wait(&self, linger: Duration) -> Outcome {
        let mut state = self.state.lock();
        if linger > Duration::ZERO {
            let start = Instant::now();
            while matches!(*state, State::Pending(_)) && start.elapsed() < linger {
                parking_lot::MutexGuard::unlocked(&mut state, thread::yield_now);
            }
        }
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Done(outcome) => return outcome,
                State::Pending(_) => *state = State::Pending(Waiter::Thread),
                State::Taken => panic!("{TAKEN}"),
            }
            self.done.wait(&mut state);
        }
    }

    /// Takes the outcome if there is one; otherwise `context` will be woken.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(outcome) => Poll::Ready(outcome),
            State::Pending(waiter) => {
                let waker = match waiter {
                    Waiter::Task(waker) if waker.will_wake(context.waker()) => waker,
                    _ => context.waker().clone(),
                };
                *state = State::Pending(Waiter::Task(waker));
                Poll::Pending
            }
            State::Taken => panic!("{TAKEN}"),
        }
    }

    /// Gives the outcome to `callback`, on a thread of the caller's node, as soon as it is there.
    pub(crate) fn on_reply(&self, callback: Callback) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(outcome) => {
                drop(state);
                self.wake(Wake::Callback(callback, outcome));
            }
            State::Pending(_) => *state = State::Pending(Waiter::Callback(callback)),
            State::Taken => panic!("{TAKEN}"),
        }
    }
}

const TAKEN: &str = "an RpcFuture is used after it has given its result";
