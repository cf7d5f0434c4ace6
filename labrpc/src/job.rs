//! [`Job`]: what a node's threads do for the network; [`Task`]: an `async` handler that is not ready yet.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use crate::message::Method;
use crate::parcel::Parcel;
use crate::service::{Outcome, ReplyFuture};

/// What [`RpcFuture::on_reply`](crate::RpcFuture::on_reply) was given.
pub(crate) type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// What a node's threads do for the network.
pub(crate) enum Job {
    /// Receive a request, and run its handler.
    Request(Parcel),
    /// Go on with an `async` handler.
    Poll(Arc<Task>),
    /// Tell a caller the outcome of its call.
    Callback(Callback, Outcome),
}

impl Job {
    /// Does it. A panic of foreign code ends here.
    pub(crate) fn run(self) {
        match self {
            Job::Request(parcel) => parcel.core().clone().receive_request(parcel),
            Job::Poll(task) => task.poll(),
            Job::Callback(callback, outcome) => {
                let _ = catch(|| callback(outcome));
            }
        }
    }

    /// The handler it runs, and when that was called.
    pub(crate) fn handler(&self) -> Option<(&'static Method, Instant)> {
        match self {
            Job::Request(request) => Some((request.call.method, request.call.start)),
            Job::Poll(task) => Some((task.request.call.method, task.request.call.start)),
            Job::Callback(..) => None,
        }
    }
}

/// How a handler ended: with an outcome, or with a panic.
pub(crate) enum Ended {
    Returned(Outcome),
    Panicked,
}

/// Runs foreign code up to a panic, which the panic hook reports.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Ended> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| Ended::Panicked)
}

/// Runs a plain handler.
pub(crate) fn run_handler(f: impl FnOnce() -> Outcome) -> Ended {
    catch(f).map_or_else(|panicked| panicked, Ended::Returned)
}

/// Polls an `async` handler; `None` if it is not ready.
pub(crate) fn poll_handler(future: &mut ReplyFuture, waker: &Waker) -> Option<Ended> {
    match catch(|| future.as_mut().poll(&mut Context::from_waker(waker))) {
        Ok(Poll::Ready(outcome)) => Some(Ended::Returned(outcome)),
        Ok(Poll::Pending) => None,
        Err(panicked) => Some(panicked),
    }
}

/// An `async` handler that was not ready when it was first polled. Each wake-up makes a job of it, so that
/// it takes no thread while it waits.
pub(crate) struct Task {
    request: Parcel,
    /// `None` once the handler has ended.
    future: Mutex<Option<ReplyFuture>>,
    /// A job for this task is queued that has not begun to poll.
    queued: AtomicBool,
}

impl Task {
    pub(crate) fn start(request: Parcel, future: ReplyFuture) {
        let task = Task { request, future: Mutex::new(Some(future)), queued: AtomicBool::new(false) };
        Arc::new(task).wake();
    }

    fn poll(self: Arc<Self>) {
        let mut slot = self.future.lock();
        // A wake-up from now on may come from something this poll does not see yet: it asks for another one.
        self.queued.store(false, Ordering::SeqCst);
        let Some(future) = slot.as_mut() else { return };
        let Some(ended) = poll_handler(future, &Waker::from(Arc::clone(&self))) else { return };
        *slot = None;
        drop(slot);
        self.request.core().answer(&self.request, ended);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            let pool = Arc::clone(&self.request.callee().pool);
            pool.submit(Job::Poll(self));
        }
    }
}
