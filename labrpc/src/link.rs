//! [`Client`]: what a caller holds of the network; [`Link`], the one-way connection behind it, with the calls that
//! are under way on it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use crate::call::{Call, Wake};
use crate::core::Core;
use crate::counts::{Counters, Counts};
use crate::draws::Seed;
use crate::faults::Faults;
use crate::future::{self, RpcFuture};
use crate::lane::Lane;
use crate::message::{Message, Method};
use crate::observe::Reason;
use crate::parcel::Content;
use crate::pool::Pool;
use crate::server::Callee;
use crate::{Result, RpcError};

/// Makes calls from one node to one server. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    pub(crate) link: Arc<Link>,
}

impl Client {
    /// Whose client it is.
    pub fn from(&self) -> &str {
        &self.link.from
    }

    /// The server it calls.
    pub fn to(&self) -> &str {
        &self.link.to
    }

    /// Calls `method`. The arguments are encoded and sent at once, and never block; the future only waits.
    ///
    /// The stubs that [`service!`](crate::service!) makes call this, with types that fit the method.
    pub fn call<A: Message, R: Message>(&self, method: &'static Method, args: &A) -> RpcFuture<R> {
        let core = &self.link.core;
        let args = core.limits.encode(args).map_err(RpcError::from);
        RpcFuture::new(self.send(method, args), future::decode)
    }

    /// Calls `method` with these bytes as its arguments, whatever they are, and gets the encoded reply: for
    /// tests of what a server does with garbage.
    pub fn call_raw(&self, method: &'static Method, args: Vec<u8>) -> RpcFuture<Vec<u8>> {
        RpcFuture::new(self.send(method, Ok(args)), |bytes, _| Ok(bytes))
    }

    fn send(&self, method: &'static Method, args: Result<Vec<u8>>) -> Arc<Call> {
        self.link.pool.shield(|| self.link.core.send(&self.link, method, args))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client(from {} to {})", self.from(), self.to())
    }
}

/// The one-way connection of one client.
pub(crate) struct Link {
    pub(crate) core: Arc<Core>,
    pub(crate) from: String,
    pub(crate) slot: Arc<Slot>,
    pub(crate) to: String,
    pub(crate) seed: Seed,
    /// The caller's threads, for `on_reply`.
    pub(crate) pool: Arc<Pool>,
    pub(crate) state: Mutex<LinkState>,
}

pub(crate) struct LinkState {
    pub(crate) enabled: bool,
    pub(crate) closed: bool,
    /// The server behind the name now; a copy of [`SlotState::callee`], so that a call takes one lock.
    pub(crate) callee: Option<Arc<Callee>>,
    pub(crate) faults: Faults,
    /// The faults are the link's own and not the network's.
    pub(crate) own_faults: bool,
    /// How many calls were made.
    pub(crate) calls: u64,
    /// The calls that have not resolved, by number, thus in the order of their start.
    pub(crate) pending: BTreeMap<u64, Pending>,
    /// When the timer will look for calls whose time is up.
    // invariant: not later than any pending call's deadline or patience
    pub(crate) watch: Option<Instant>,
    pub(crate) requests: Lane,
    pub(crate) replies: Lane,
}

/// A call that has not resolved.
pub(crate) struct Pending {
    pub(crate) call: Arc<Call>,
    /// When it times out, unless its handler is running then.
    pub(crate) deadline: Instant,
    /// When its caller gives up, whether or not its handler is running.
    pub(crate) patience: Option<Instant>,
    /// How many handlers are running for it; more than one when the request was duplicated.
    pub(crate) running: u32,
    /// How it ends is settled, and a cut of the link changes nothing about it.
    pub(crate) settled: bool,
}

impl LinkState {
    /// Whether messages to and from `callee` pass.
    pub(crate) fn check(&self, callee: &Arc<Callee>) -> std::result::Result<(), Reason> {
        if !self.callee.as_ref().is_some_and(|now| Arc::ptr_eq(now, callee)) {
            return Err(Reason::ServerDeleted);
        }
        if !self.enabled {
            return Err(Reason::LinkCut);
        }
        Ok(())
    }

    /// Whether replies of `callee` pass, and somebody wants them.
    pub(crate) fn check_reply(&self, callee: &Arc<Callee>) -> std::result::Result<(), Reason> {
        if self.closed { Err(Reason::CallerClosed) } else { self.check(callee) }
    }

    /// The server a call made now goes to.
    pub(crate) fn reach(&self) -> std::result::Result<Arc<Callee>, Reason> {
        match &self.callee {
            _ if self.closed => Err(Reason::CallerClosed),
            _ if !self.enabled => Err(Reason::LinkDisabled),
            None => Err(Reason::NoServer),
            Some(callee) => Ok(Arc::clone(callee)),
        }
    }

    /// The direction a message goes.
    pub(crate) fn lane(&mut self, content: &Content) -> &mut Lane {
        match content {
            Content::Request => &mut self.requests,
            Content::Reply { .. } => &mut self.replies,
        }
    }

    /// Has the timer look for overdue calls at `due` at the latest. False if it will anyway.
    pub(crate) fn watch_by(&mut self, due: Instant) -> bool {
        let news = self.watch.is_none_or(|at| due < at);
        if news {
            self.watch = Some(due);
        }
        news
    }

    /// Ends the calls `which` picks.
    fn end_calls(&mut self, error: &RpcError, which: impl Fn(&Pending) -> bool) -> Ended {
        let numbers: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| which(pending)).map(|(number, _)| *number).collect();
        let finish = |pending: Pending| {
            let wake = pending.call.finish(Err(error.clone()));
            (pending.call, wake)
        };
        Ended(numbers.iter().filter_map(|number| self.pending.remove(number)).map(finish).collect())
    }
}

impl Link {
    /// Switches the link on or off. Off, the calls under way are lost, and their callers learn it at once.
    pub(crate) fn enable(&self, yes: bool) {
        self.change(|state| state.enabled = yes).wake();
    }

    /// Makes a change after which calls under way may not find their way any more, and ends those that do
    /// not.
    fn change(&self, change: impl FnOnce(&mut LinkState)) -> Ended {
        let mut state = self.state.lock();
        change(&mut state);
        let open = state.callee.clone().filter(|_| state.enabled);
        let passes = |pending: &Pending| match (&open, &pending.call.callee) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            _ => false,
        };
        let cut = |pending: &Pending| !pending.settled && !passes(pending);
        state.end_calls(&RpcError::Lost, cut)
    }

    /// Ends all calls, now and from now on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.closed, true) {
            return;
        }
        let ended = state.end_calls(&RpcError::Stopped, |_| true);
        drop(state);
        ended.wake();
        self.pool.detach();
    }

    /// Takes `call` from those under way and settles its outcome.
    pub(crate) fn resolve(&self, call: &Call, outcome: Result<Vec<u8>>) {
        self.state.lock().pending.remove(&call.number);
        call.wake(call.finish(outcome));
    }

    /// Ends `call` at `due` if it is still under way. False if the timer will look by then anyway.
    pub(crate) fn give_up_at(&self, call: &Call, due: Instant) -> bool {
        let mut state = self.state.lock();
        let Some(pending) = state.pending.get_mut(&call.number) else { return false };
        pending.patience = Some(pending.patience.map_or(due, |earlier| earlier.min(due)));
        state.watch_by(due)
    }

    /// Ends the calls whose time is up. Returns when to look again, if there are calls left to watch.
    pub(crate) fn end_overdue(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        if state.watch.is_some_and(|at| now < at) {
            // An earlier call was to be watched when this look was arranged; another one is to come.
            return None;
        }
        let overdue = |pending: &Pending| {
            let impatient = pending.patience.is_some_and(|patience| patience <= now);
            impatient || (pending.deadline <= now && pending.running == 0)
        };
        let ended = state.end_calls(&RpcError::TimedOut, overdue);
        let dues = state.pending.values().flat_map(|pending| [Some(pending.deadline), pending.patience]);
        let next = dues.flatten().filter(|due| *due > now).min();
        state.watch = next;
        drop(state);
        ended.wake();
        next
    }
}

/// Calls that have ended, and whose callers are to be woken when no lock is held.
#[must_use]
struct Ended(Vec<(Arc<Call>, Wake)>);

impl Ended {
    fn wake(self) {
        for (call, wake) in self.0 {
            call.wake(wake);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let pool = Arc::clone(&self.pool);
        pool.shield(|| self.close());
    }
}

/// A server's name, with whoever stands behind it and the links that lead to it.
#[derive(Default)]
pub(crate) struct Slot {
    /// Over all servers of that name.
    pub(crate) counters: Counters,
    pub(crate) state: Mutex<SlotState>,
}

#[derive(Default)]
pub(crate) struct SlotState {
    pub(crate) callee: Option<Arc<Callee>>,
    /// The counts at the time this server was added.
    pub(crate) counts_before: Counts,
    pub(crate) links: Vec<Weak<Link>>,
    /// How many clients were made, by caller.
    pub(crate) clients: BTreeMap<String, u64>,
}

impl Slot {
    /// Lets `callee` stand behind the name; returns who stood there.
    pub(crate) fn bind(&self, callee: Option<Arc<Callee>>) -> Option<Arc<Callee>> {
        let mut state = self.state.lock();
        state.links.retain(|link| link.strong_count() > 0);
        let links: Vec<_> = state.links.iter().filter_map(Weak::upgrade).collect();
        let change = |link: &Arc<Link>| link.change(|state| state.callee = callee.clone());
        let ended: Vec<Ended> = links.iter().map(change).collect();
        if callee.is_some() {
            state.counts_before = self.counters.read();
        }
        let earlier = std::mem::replace(&mut state.callee, callee);
        drop(state);
        ended.into_iter().for_each(Ended::wake);
        earlier
    }

    /// What was counted since the server was added.
    pub(crate) fn counts(&self) -> Counts {
        let before = self.state.lock().counts_before;
        self.counters.read() - before
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.state.lock().links.iter().filter_map(Weak::upgrade).collect()
    }
}
