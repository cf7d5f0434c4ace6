//! [`Core`]: the state of a network that outlives a call, and the life of each message through it.
//!
//! A call takes these steps, each a function here:
//!
//! ```text
//! caller's thread      send ─── launch ──┐                                     ┌── wake the caller
//! network's thread                       arrive ──┐             ┌── launch ── arrive ── receive_reply
//! callee's thread                                 receive_request ── answer
//! ```
//!
//! `launch` decides about a message (faults, interception) and `arrive` hands it on when it is due. With nothing to
//! wait for, the next step is taken at once on the same thread, without the network's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use labcodec::{EncodeError, Limits};
use parking_lot::{Mutex, RwLock};

use crate::call::Call;
use crate::draws::{Draws, Seed};
use crate::faults::{Faults, Notice};
use crate::job::{Ended, Job, Task, poll_handler, run_handler};
use crate::link::{Link, Pending, Slot};
use crate::message::Method;
use crate::observe::{CallId, Envelope, Event, Fate, MessageId, Observer, Reason, Step};
use crate::options::NetworkOptions;
use crate::parcel::{Content, Parcel};
use crate::pool::{MAX_THREADS, Pool, Spawn};
use crate::service::Handler;
use crate::timer::Timer;
use crate::{Result, RpcError};

/// The least time a call takes that the network itself ends, so that a loop of retries does not stop a clock that only
/// moves while threads wait.
const REFUSAL_TIME: Duration = Duration::from_micros(100);

type Interceptor = dyn Fn(&Envelope<'_>) -> Fate + Send + Sync;

/// The state of a network that outlives a call.
pub(crate) struct Core {
    pub(crate) options: NetworkOptions,
    pub(crate) limits: Limits,
    pub(crate) slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    /// The network's faults, for links to come.
    pub(crate) faults: Mutex<Faults>,
    pools: Mutex<Vec<Weak<Pool>>>,
    pub(crate) timer: Arc<Timer<Due>>,
    calls: AtomicU64,
    messages: AtomicU64,
    held: Mutex<BTreeMap<MessageId, Parcel>>,
    /// There are observers; spares the lock when there are none.
    observed: AtomicBool,
    observers: RwLock<Vec<Arc<dyn Observer>>>,
    /// There is an interceptor; spares the lock when there is none.
    intercepted: AtomicBool,
    interceptor: RwLock<Option<Arc<Interceptor>>>,
}

/// What the timer does.
pub(crate) enum Due {
    /// A message arrives.
    Arrive(Parcel),
    /// A call ends without a reply.
    Resolve(Arc<Call>, RpcError),
    /// The caller waits no longer, if it still does.
    GiveUp(Weak<Call>),
    /// A link may have calls whose time is up.
    Overdue(Weak<Link>),
}

/// What is to become of a message that was not intercepted or has its fate.
enum Plan {
    /// It is delivered after the latency, and `copies` of it too.
    Deliver { delay: Delay, copies: u32 },
    /// It is dropped; a notice of that takes this long.
    Drop { notice: Notice, reason: Reason, notice_delay: Duration },
    /// It is held.
    Hold,
}

/// What comes on top of the latency.
enum Delay {
    Fixed(Duration),
    /// Drawn for each copy.
    Drawn,
}

impl Core {
    pub(crate) fn new(options: NetworkOptions) -> Self {
        Core {
            limits: Limits::new().max_bytes(options.max_message_bytes),
            options,
            slots: Mutex::default(),
            faults: Mutex::default(),
            pools: Mutex::default(),
            timer: Arc::new(Timer::new()),
            calls: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            held: Mutex::default(),
            observed: AtomicBool::new(false),
            observers: RwLock::default(),
            intercepted: AtomicBool::new(false),
            interceptor: RwLock::default(),
        }
    }

    pub(crate) fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        match slots.get(name) {
            Some(slot) => Arc::clone(slot),
            None => Arc::clone(slots.entry(name.to_owned()).or_default()),
        }
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.slots.lock().values().flat_map(|slot| slot.links()).collect()
    }

    /// The threads of the node that `spawn` stands for.
    pub(crate) fn pool(&self, spawn: Arc<dyn Spawn>) -> Arc<Pool> {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        if let Some(pool) = pools.iter().filter_map(Weak::upgrade).find(|pool| pool.is_of(&spawn)) {
            return pool;
        }
        let pool = Arc::new(Pool::new(spawn, MAX_THREADS, self.options.linger));
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Ends the thread, all calls and all messages on their way.
    pub(crate) fn stop(&self) {
        let undone = self.timer.end();
        for link in self.links() {
            link.close();
        }
        for due in undone {
            self.cancel(due);
        }
        for (_, parcel) in std::mem::take(&mut *self.held.lock()) {
            self.cancel(Due::Arrive(parcel));
        }
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        for slot in slots {
            if let Some(callee) = slot.bind(None) {
                callee.pool.detach();
            }
        }
    }

    // Watching.

    pub(crate) fn add_observer(&self, observer: Arc<dyn Observer>) {
        self.observers.write().push(observer);
        self.observed.store(true, Relaxed);
    }

    pub(crate) fn set_interceptor(&self, interceptor: Arc<Interceptor>) {
        *self.interceptor.write() = Some(interceptor);
        self.intercepted.store(true, Relaxed);
    }

    fn observe(&self, parcel: &Parcel, step: Step) {
        if self.observed.load(Relaxed) {
            let event = Event { at: Instant::now(), envelope: parcel.envelope(), step };
            for observer in &*self.observers.read() {
                observer.observe(&event);
            }
        }
    }

    fn fate(&self, parcel: &Parcel) -> Fate {
        if !self.intercepted.load(Relaxed) {
            return Fate::Default;
        }
        let interceptor = self.interceptor.read().clone();
        interceptor.map_or(Fate::Default, |decide| decide(&parcel.envelope()))
    }

    // Time.

    fn schedule(&self, due: Instant, what: Due) {
        if let Err(what) = self.timer.schedule(due, what) {
            self.cancel(what);
        }
    }

    /// Does what is due.
    pub(crate) fn fire(self: &Arc<Self>, due: Due) {
        match due {
            Due::Arrive(parcel) => self.arrive(parcel),
            Due::Resolve(call, error) => call.link.resolve(&call, Err(error)),
            Due::GiveUp(call) => {
                if let Some(call) = call.upgrade() {
                    call.link.resolve(&call, Err(RpcError::TimedOut));
                }
            }
            Due::Overdue(link) => {
                let Some(link) = link.upgrade() else { return };
                if let Some(next) = link.end_overdue(Instant::now()) {
                    self.schedule(next, Due::Overdue(Arc::downgrade(&link)));
                }
            }
        }
    }

    /// What was due will not be done: the network is gone.
    fn cancel(&self, due: Due) {
        match due {
            Due::Arrive(parcel) => self.observe(&parcel, Step::Dropped(Reason::NetworkStopped)),
            Due::Resolve(call, _) => call.link.resolve(&call, Err(RpcError::Stopped)),
            Due::GiveUp(_) | Due::Overdue(_) => (),
        }
    }

    pub(crate) fn give_up_after(&self, call: &Arc<Call>, time: Duration) {
        if let Some(due) = Instant::now().checked_add(time) {
            self.schedule(due, Due::GiveUp(Arc::downgrade(call)));
        }
    }

    // The life of a call.

    fn new_id(&self) -> MessageId {
        MessageId(self.messages.fetch_add(1, Relaxed))
    }

    /// Makes a call.
    pub(crate) fn send(
        self: &Arc<Self>,
        link: &Arc<Link>,
        method: &'static Method,
        args: Result<Vec<u8>>,
    ) -> Arc<Call> {
        let now = Instant::now();
        let id = CallId(self.calls.fetch_add(1, Relaxed));
        let args = match args {
            Ok(args) if args.len() > self.options.max_message_bytes => Err(self.too_large()),
            args => args,
        };
        let args = match args {
            Ok(args) => args,
            Err(error) => {
                // invariant: no pending call has this number, so that ending this one ends no other.
                let call = Arc::new(Call::new(id, link, u64::MAX, method, Vec::new(), now, None));
                self.schedule(now + REFUSAL_TIME, Due::Resolve(Arc::clone(&call), error));
                return call;
            }
        };
        link.slot.counters.call(args.len());

        let mut state = link.state.lock();
        let number = state.calls;
        state.calls += 1;
        let callee = state.reach();
        let faults = state.faults.clone();
        let call =
            Arc::new(Call::new(id, link, number, method, args, now, callee.as_ref().ok().map(Arc::clone)));
        let mut watch = false;
        let deadline = now + self.options.call_timeout;
        if !state.closed {
            let pending = Pending { call: Arc::clone(&call), deadline, running: 0, settled: callee.is_err() };
            state.pending.insert(number, pending);
            watch = !std::mem::replace(&mut state.watched, true);
        }
        drop(state);

        if watch {
            self.schedule(deadline, Due::Overdue(Arc::downgrade(link)));
        }
        let mut draws = Draws::new(link.seed.at(number));
        let request =
            Parcel { id: self.new_id(), call: Arc::clone(&call), copy: 0, content: Content::Request };
        self.observe(&request, Step::Sent);
        match callee {
            Ok(_) => {
                self.launch(request, &faults, &mut draws);
            }
            Err(reason) => {
                self.observe(&request, Step::Dropped(reason));
                let (delay, error) = match reason {
                    Reason::CallerClosed => (REFUSAL_TIME, RpcError::Stopped),
                    _ => (self.unreachable_delay(&faults, &mut draws), RpcError::TimedOut),
                };
                self.schedule(now + delay, Due::Resolve(Arc::clone(&call), error));
            }
        }
        call
    }

    /// Decides about a message that may pass, and sends it on its way. False if nothing of it will arrive soon.
    fn launch(self: &Arc<Self>, parcel: Parcel, faults: &Faults, draws: &mut Draws) -> bool {
        match self.plan(&parcel, faults, draws) {
            Plan::Drop { notice, reason, notice_delay } => {
                self.observe(&parcel, Step::Dropped(reason));
                if notice == Notice::AtOnce {
                    let due = Instant::now() + notice_delay.max(REFUSAL_TIME);
                    self.schedule(due, Due::Resolve(parcel.call, RpcError::Lost));
                    return true;
                }
                false
            }
            Plan::Hold => {
                self.observe(&parcel, Step::Held);
                self.held.lock().insert(parcel.id, parcel);
                false
            }
            Plan::Deliver { delay, copies } => {
                let mut soon = true;
                let copies: Vec<Parcel> = (1..=copies).map(|copy| self.copy(&parcel, copy)).collect();
                for parcel in std::iter::once(parcel).chain(copies) {
                    soon &= self.carry(parcel, &delay, faults, draws);
                }
                soon
            }
        }
    }

    fn plan(&self, parcel: &Parcel, faults: &Faults, draws: &mut Draws) -> Plan {
        let deliver = |delay, copies| Plan::Deliver { delay: Delay::Fixed(delay), copies };
        match self.fate(parcel) {
            Fate::Default => match parcel.content {
                Content::Request if draws.chance(faults.request_loss) => Plan::Drop {
                    notice: faults.loss_notice,
                    reason: Reason::Loss,
                    notice_delay: faults.request_delay(draws),
                },
                Content::Reply { .. } if draws.chance(faults.reply_loss) => Plan::Drop {
                    notice: faults.loss_notice,
                    reason: Reason::Loss,
                    notice_delay: Duration::ZERO,
                },
                Content::Request if draws.chance(faults.duplicate) => {
                    Plan::Deliver { delay: Delay::Drawn, copies: 1 }
                }
                _ => Plan::Deliver { delay: Delay::Drawn, copies: 0 },
            },
            Fate::Deliver => deliver(Duration::ZERO, 0),
            Fate::Delay(delay) => deliver(delay, 0),
            Fate::Duplicate(copies) => deliver(Duration::ZERO, copies),
            Fate::Hold => Plan::Hold,
            Fate::Drop(notice) => {
                Plan::Drop { notice, reason: Reason::Intercepted, notice_delay: Duration::ZERO }
            }
        }
    }

    fn copy(&self, parcel: &Parcel, copy: u32) -> Parcel {
        let Parcel { call, content, .. } = parcel;
        let copy = match content {
            Content::Request => copy,
            Content::Reply { .. } => parcel.copy,
        };
        let copy = Parcel { id: self.new_id(), call: Arc::clone(call), copy, content: content.clone() };
        self.observe(&copy, Step::Duplicated { of: parcel.id });
        copy
    }

    /// Takes a message to its destination. False if it will be late.
    fn carry(
        self: &Arc<Self>,
        mut parcel: Parcel,
        delay: &Delay,
        faults: &Faults,
        draws: &mut Draws,
    ) -> bool {
        let delay = match (delay, &mut parcel.content) {
            (Delay::Fixed(delay), _) => *delay,
            (Delay::Drawn, Content::Request) => faults.request_delay(draws),
            (Delay::Drawn, Content::Reply { across, .. }) => match faults.reply_delay(draws) {
                Some(delay) => {
                    *across = true;
                    delay
                }
                None => Duration::ZERO,
            },
        };
        if delay > Duration::ZERO {
            self.observe(&parcel, Step::Delayed(delay));
        }
        if let Content::Reply { across: true, .. } = parcel.content {
            let mut state = parcel.call.link.state.lock();
            if let Some(pending) = state.pending.get_mut(&parcel.call.number) {
                pending.settled = true;
            }
        }
        if delay == Duration::ZERO && self.options.is_instant() {
            self.arrive_at_once(parcel);
        } else {
            let latency = draws.duration(&self.options.latency);
            self.schedule(Instant::now() + latency + delay, Due::Arrive(parcel));
        }
        delay == Duration::ZERO
    }

    /// A message has come to its destination. Runs no foreign code, so that it can happen on any thread.
    fn arrive(self: &Arc<Self>, parcel: Parcel) {
        match (&parcel.content, &parcel.call.callee) {
            (Content::Reply { .. }, _) => self.receive_reply(parcel),
            (Content::Request, Some(callee)) => Arc::clone(&callee.pool).submit(Job::Request(parcel)),
            (Content::Request, None) => unreachable!("a request without a server is not sent"),
        }
    }

    /// Like `arrive`, on the caller's thread: an `async` handler starts right here.
    fn arrive_at_once(self: &Arc<Self>, parcel: Parcel) {
        let handler = parcel.call.callee.as_ref().and_then(|callee| callee.handler(parcel.call.method));
        match (&parcel.content, handler) {
            (Content::Request, Some(Handler::Async(_))) => self.receive_request(parcel),
            _ => self.arrive(parcel),
        }
    }

    /// Lets a held message go; false if there is none of that number.
    pub(crate) fn release(self: &Arc<Self>, id: MessageId) -> bool {
        let Some(parcel) = self.held.lock().remove(&id) else { return false };
        self.observe(&parcel, Step::Released);
        self.arrive(parcel);
        true
    }

    /// Runs the handler of a request, if the way to it is still open. On a thread of the callee's node, or with zero
    /// latency on the caller's for an `async` handler.
    pub(crate) fn receive_request(self: &Arc<Self>, request: Parcel) {
        let call = &request.call;
        let callee = call.callee.as_ref().expect("a request without a server is not sent");
        let mut state = call.link.state.lock();
        if let Err(reason) = state.check(callee) {
            drop(state);
            return self.observe(&request, Step::Dropped(reason));
        }
        if let Some(pending) = state.pending.get_mut(&call.number) {
            pending.running += 1;
        }
        drop(state);
        call.link.slot.counters.delivered();
        self.observe(&request, Step::Delivered);

        let ended = match callee.handler(call.method) {
            None => Ended::Returned(Err(RpcError::NoSuchMethod)),
            Some(Handler::Plain(handler)) => {
                run_handler(|| handler(&call.args, self.limits)).map_or_else(|e| e, Ended::Returned)
            }
            Some(Handler::Async(handler)) => match run_handler(|| handler(&call.args, self.limits)) {
                Ok(Ok(mut future)) => match poll_handler(&mut future, Waker::noop()) {
                    Some(ended) => ended,
                    None => {
                        let pool = Arc::clone(&callee.pool);
                        return Task::start(request, &pool, future);
                    }
                },
                Ok(Err(error)) => Ended::Returned(Err(error)),
                Err(ended) => ended,
            },
        };
        self.answer(&request, ended);
    }

    /// Sends the reply of a handler that has ended, if the way back is still open.
    pub(crate) fn answer(self: &Arc<Self>, request: &Parcel, ended: Ended) {
        let call = &request.call;
        let callee = call.callee.as_ref().expect("a request without a server is not sent");
        let (outcome, missing) = match ended {
            Ended::Returned(Err(RpcError::Stopped)) => (Err(RpcError::Stopped), Some(Reason::Unanswered)),
            Ended::Returned(Ok(reply)) if reply.len() > self.options.max_message_bytes => {
                (Err(self.too_large()), None)
            }
            Ended::Returned(outcome) => (outcome, None),
            Ended::Panicked => (Err(RpcError::Lost), Some(Reason::Panicked)),
        };
        let content = Content::Reply { outcome, across: false };
        let reply = Parcel { id: self.new_id(), call: Arc::clone(call), copy: request.copy, content };
        self.observe(&reply, Step::Sent);

        let now = Instant::now();
        let mut late = false;
        let mut state = call.link.state.lock();
        let faults = state.faults.clone();
        let way = match (state.closed, state.check(callee)) {
            (true, _) => Err(Reason::CallerClosed),
            (_, way) => way,
        };
        let way = match state.pending.get_mut(&call.number) {
            Some(pending) => {
                pending.running -= 1;
                if pending.deadline <= now {
                    // The call is overdue because of its handler: the reply gets the time it needs.
                    late = true;
                    pending.deadline = now + self.grace();
                }
                pending.settled |= missing == Some(Reason::Unanswered) && way.is_ok();
                way
            }
            None => way.and(Err(Reason::CallOver)),
        };
        drop(state);

        let mut draws = Draws::new(call.link.seed.at(call.number).at(request.copy.into()));
        let coming = match way.and(missing.map_or(Ok(()), Err)) {
            Ok(()) => self.launch(reply, &faults, &mut draws),
            Err(reason) => {
                self.observe(&reply, Step::Dropped(reason));
                let end = match reason {
                    Reason::Unanswered => {
                        Some((self.unreachable_delay(&faults, &mut draws), RpcError::TimedOut))
                    }
                    Reason::Panicked => Some((REFUSAL_TIME, RpcError::Lost)),
                    _ => None,
                };
                if let Some((delay, error)) = end {
                    self.schedule(now + delay, Due::Resolve(Arc::clone(call), error));
                }
                false
            }
        };
        if late && !coming {
            self.schedule(now + self.grace(), Due::Resolve(Arc::clone(call), RpcError::TimedOut));
        }
    }

    /// Gives a reply to the caller, if it may still have it. All under the link's lock: once a link is cut or a
    /// server deleted, nothing of it is delivered.
    fn receive_reply(&self, reply: Parcel) {
        let Content::Reply { across, .. } = reply.content else { unreachable!("requests have handlers") };
        let call = Arc::clone(&reply.call);
        let callee = call.callee.as_ref().expect("a request without a server is not sent");
        let mut state = call.link.state.lock();
        let way = match state.check(callee) {
            _ if state.closed => Err(Reason::CallerClosed),
            Err(reason) if !across => Err(reason),
            _ => state.pending.remove(&call.number).map(drop).ok_or(Reason::CallOver),
        };
        match way {
            Ok(()) => {
                call.link.slot.counters.reply(reply.envelope().size());
                self.observe(&reply, Step::Delivered);
                let Content::Reply { outcome, .. } = reply.content else { unreachable!("checked above") };
                let wake = call.finish(outcome);
                drop(state);
                call.wake(wake);
            }
            Err(reason) => {
                drop(state);
                self.observe(&reply, Step::Dropped(reason));
            }
        }
    }

    /// How long a reply takes at most that nothing holds up.
    fn grace(&self) -> Duration {
        *self.options.latency.end() + Duration::from_millis(1)
    }

    fn unreachable_delay(&self, faults: &Faults, draws: &mut Draws) -> Duration {
        faults.unreachable_delay(draws).max(REFUSAL_TIME).min(self.options.call_timeout)
    }

    fn too_large(&self) -> RpcError {
        EncodeError::TooLarge { limit: self.options.max_message_bytes }.into()
    }
}

impl Core {
    /// The stream of draws of the `nth` client from `from` to `to`.
    pub(crate) fn link_seed(&self, from: &str, to: &str, nth: u64) -> Seed {
        Seed::new(self.options.seed).named(from).named(to).at(nth)
    }
}
