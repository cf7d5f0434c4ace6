//! [`RpcFuture`]: what a stub returns.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use labcodec::Limits;

use crate::call::Call;
use crate::service::Outcome;
use crate::{Message, Result};

/// The outcome of a call that has been sent already.
///
/// Await it on any executor, [`wait`](Self::wait) for it, or have a function called with it
/// ([`on_reply`](Self::on_reply)). It always resolves, at the latest when the
/// [call's time](crate::NetworkOptions::call_timeout) is up, unless the handler does not return. Dropping
/// it does not recall the request.
#[must_use = "the request has been sent, but nobody waits for the reply; `drop` the future to say so"]
pub struct RpcFuture<T> {
    call: Arc<Call>,
    decode: fn(Vec<u8>, Limits) -> Result<T>,
}

impl<T> RpcFuture<T> {
    pub(crate) fn new(call: Arc<Call>, decode: fn(Vec<u8>, Limits) -> Result<T>) -> Self {
        RpcFuture { call, decode }
    }

    /// Blocks the thread until the call resolves. Never do that with a lock held: others may need it for
    /// the reply to come, and a call can take seconds to fail.
    pub fn wait(self) -> Result<T> {
        let link = &self.call.link;
        let outcome = link.pool.shield(|| self.call.wait(link.core.options.linger));
        (self.decode)(outcome?, link.core.limits)
    }

    /// Resolves [`TimedOut`](crate::RpcError::TimedOut) after this time from now, and after 0.1 ms at least,
    /// if the call has not resolved by then. A reply that comes later is discarded.
    pub fn timeout(self, time: Duration) -> Self {
        let link = &self.call.link;
        link.pool.shield(|| link.core.give_up_after(&self.call, time));
        self
    }
}

impl<T: 'static> RpcFuture<T> {
    /// Calls `f` with the outcome, on a thread of the caller's node, where it may lock and block. If the
    /// call has resolved already, that happens at once; if the client was closed meanwhile, it happens
    /// all the same.
    pub fn on_reply(self, f: impl FnOnce(Result<T>) + Send + 'static) {
        let decode = self.decode;
        let link = &self.call.link;
        let limits = link.core.limits;
        let callback = Box::new(move |outcome: Outcome| f(outcome.and_then(|bytes| decode(bytes, limits))));
        link.pool.shield(|| self.call.on_reply(callback));
    }
}

impl<T> Future for RpcFuture<T> {
    type Output = Result<T>;

    /// # Panics
    ///
    /// Panics when polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let outcome = self.call.link.pool.shield(|| self.call.poll(context));
        outcome.map(|outcome| (self.decode)(outcome?, self.call.link.core.limits))
    }
}

impl<T> fmt::Debug for RpcFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { id, method, link, .. } = &*self.call;
        write!(f, "RpcFuture({id}: {method} from {} to {})", link.from, link.to)
    }
}

pub(crate) fn decode<T: Message>(bytes: Vec<u8>, limits: Limits) -> Result<T> {
    Ok(limits.decode(&bytes)?)
}
