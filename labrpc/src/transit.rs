//! The life of a call's messages, from the stub to the caller's wake-up.
//!
//! A call takes these steps, each a function here:
//!
//! ```text
//! caller's thread      send ─── launch ──┐                                     ┌── wake the caller
//! network's thread                       arrive ──┐             ┌── launch ── arrive ── receive_reply
//! callee's thread                                 receive_request ── answer
//! ```
//!
//! `launch` decides about a message (faults, interception) and `arrive` hands it on when it is due. With
//! nothing to wait for, the next step is taken at once on the same thread, without the network's.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::Duration;

use labcodec::EncodeError;

use crate::call::Call;
use crate::core::{Core, Due};
use crate::draws::Draws;
use crate::faults::{DELAY_MAX, Faults, Notice};
use crate::job::{Ended, Job, Task, catch, poll_handler, run_handler};
use crate::link::{Link, Pending};
use crate::message::Method;
use crate::observe::{CallId, Fate, MessageId, Reason, Step};
use crate::parcel::{Content, Parcel};
use crate::service::Handler;
use crate::{Result, RpcError};

/// The least time a call takes that the network itself ends, so that a loop of retries does not stop a clock that
/// only moves while threads wait.
pub(crate) const REFUSAL_TIME: Duration = Duration::from_micros(100);

/// What is to become of a message that was not intercepted or has its fate.
enum Plan {
    /// It is delivered after the latency, and `copies` of it too.
    Deliver { delay: Delay, copies: u32 },
    /// It is delivered after the latency, and a copy of it is held.
    Keep,
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
        let now = self.options.clock.now();
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

        let mut state = link.state.lock();
        let number = state.calls;
        state.calls += 1;
        link.slot.counters.call(args.len());
        let callee = state.reach();
        let faults = state.faults.clone();
        let call =
            Arc::new(Call::new(id, link, number, method, args, now, callee.as_ref().ok().map(Arc::clone)));
        let request =
            Parcel { id: self.new_id(), call: Arc::clone(&call), copy: 0, content: Content::Request };
        // Before the call is pending, and may end.
        self.observe(&request, Step::Sent);
        let mut watch = false;
        let deadline = now + self.options.call_timeout;
        if !state.closed {
            let settled = callee.is_err();
            let pending = Pending { call: Arc::clone(&call), deadline, patience: None, running: 0, settled };
            state.pending.insert(number, pending);
            watch = state.watch_by(deadline);
        }
        drop(state);

        if watch {
            self.schedule(deadline, Due::Overdue(Arc::downgrade(link)));
        }
        let mut draws = Draws::new(link.seed.at(number));
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

    /// Decides about a message that may pass, and sends it on its way. False if nothing of it will arrive
    /// soon.
    fn launch(self: &Arc<Self>, parcel: Parcel, faults: &Faults, draws: &mut Draws) -> bool {
        match self.plan(&parcel, faults, draws) {
            Plan::Drop { notice, reason, notice_delay } => {
                self.observe(&parcel, Step::Dropped(reason));
                if notice == Notice::AtOnce {
                    let due = self.options.clock.now() + notice_delay.max(REFUSAL_TIME);
                    self.schedule(due, Due::Resolve(parcel.call, RpcError::Lost));
                    return true;
                }
                false
            }
            Plan::Hold => {
                self.hold(parcel);
                false
            }
            Plan::Keep => {
                let copy = self.copy(&parcel, 1);
                let soon = self.carry(parcel, &Delay::Fixed(Duration::ZERO), true, faults, draws);
                self.hold(copy);
                soon
            }
            Plan::Deliver { delay, copies } => {
                let copies: Vec<Parcel> = (1..=copies).map(|copy| self.copy(&parcel, copy)).collect();
                let mut soon = self.carry(parcel, &delay, true, faults, draws);
                for copy in copies {
                    soon &= self.carry(copy, &delay, false, faults, draws);
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
            Fate::Delay(delay) => deliver(delay.min(DELAY_MAX), 0),
            Fate::Duplicate(copies) => deliver(Duration::ZERO, copies),
            Fate::Hold => Plan::Hold,
            Fate::Keep => Plan::Keep,
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

    /// Takes a message to its destination; `in_order`, and unless it is delayed, behind those that were sent there
    /// before. False if it will be late.
    fn carry(
        self: &Arc<Self>,
        mut parcel: Parcel,
        delay: &Delay,
        in_order: bool,
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
        if let Content::Reply { across: true, .. } = parcel.content {
            let mut state = parcel.call.link.state.lock();
            if let Some(pending) = state.pending.get_mut(&parcel.call.number) {
                pending.settled = true;
            }
        }
        if delay > Duration::ZERO {
            self.observe(&parcel, Step::Delayed(delay));
        }
        if delay == Duration::ZERO && self.options.is_instant() {
            self.arrive_at_once(parcel);
        } else {
            let mut due = self.options.clock.now() + draws.duration(&self.options.latency) + delay;
            if in_order && delay == Duration::ZERO {
                due = parcel.call.link.state.lock().lane(&parcel.content).join(due);
            }
            self.schedule(due, Due::Arrive(parcel));
        }
        delay == Duration::ZERO
    }

    /// A message has come to its destination. Runs no foreign code, so that it can happen on any thread.
    pub(crate) fn arrive(&self, parcel: Parcel) {
        match parcel.content {
            Content::Request => Arc::clone(&parcel.callee().pool).submit(Job::Request(parcel)),
            Content::Reply { .. } => self.receive_reply(parcel),
        }
    }

    /// Like `arrive`, on the caller's thread: an `async` handler starts right here.
    fn arrive_at_once(self: &Arc<Self>, parcel: Parcel) {
        let inline = matches!(parcel.content, Content::Request)
            && matches!(parcel.callee().handler(parcel.call.method), Some(Handler::Async(_)));
        if inline { self.receive_request(parcel) } else { self.arrive(parcel) }
    }

    /// Puts a message aside. Seen and put there under one lock: who has seen it held can release it.
    fn hold(&self, parcel: Parcel) {
        let mut guard = self.held.lock();
        let Some(held) = &mut *guard else {
            drop(guard);
            return self.cancel(Due::Arrive(parcel));
        };
        self.observe(&parcel, Step::Held);
        held.insert(parcel.id, parcel);
    }

    /// Lets a held message go; false if there is none of that number.
    pub(crate) fn release(&self, id: MessageId) -> bool {
        let parcel = self.held.lock().as_mut().and_then(|held| held.remove(&id));
        let Some(parcel) = parcel else { return false };
        self.observe(&parcel, Step::Released);
        self.arrive(parcel);
        true
    }

    /// Runs the handler of a request, if the way to it is still open. On a thread of the callee's node, or
    /// with zero latency on the caller's for an `async` handler. It is delivered under the link's lock: once
    /// a link is cut or a server deleted, no request is counted or seen to arrive.
    pub(crate) fn receive_request(self: &Arc<Self>, request: Parcel) {
        let (call, callee) = (&request.call, request.callee());
        if !callee.pool.shield(|| self.deliver_request(&request)) {
            return;
        }
        let ended = match callee.handler(call.method) {
            None => Ended::Returned(Err(RpcError::NoSuchMethod)),
            Some(Handler::Plain(code)) => run_handler(|| code(&call.args, self.limits)),
            Some(Handler::Async(code)) => {
                let mut future = match catch(|| code(&call.args, self.limits)) {
                    Ok(Ok(future)) => future,
                    Ok(Err(error)) => return self.answer(&request, Ended::Returned(Err(error))),
                    Err(panicked) => return self.answer(&request, panicked),
                };
                match poll_handler(&mut future, Waker::noop()) {
                    Some(ended) => ended,
                    None => return Task::start(request, future),
                }
            }
        };
        self.answer(&request, ended);
    }

    /// Whether the way of a request is still open; then it counts as delivered.
    fn deliver_request(&self, request: &Parcel) -> bool {
        let call = &request.call;
        let mut state = call.link.state.lock();
        if let Err(reason) = state.check(request.callee()) {
            drop(state);
            self.observe(request, Step::Dropped(reason));
            return false;
        }
        if let Some(pending) = state.pending.get_mut(&call.number) {
            pending.running += 1;
        }
        call.link.slot.counters.delivered();
        self.observe(request, Step::Delivered);
        true
    }

    /// The end of a handler.
    pub(crate) fn answer(self: &Arc<Self>, request: &Parcel, ended: Ended) {
        request.callee().pool.shield(|| self.reply(request, ended));
    }

    /// Sends the reply of a handler that has ended, if the way back is still open.
    fn reply(self: &Arc<Self>, request: &Parcel, ended: Ended) {
        let call = &request.call;
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

        let now = self.options.clock.now();
        let mut late = false;
        let mut state = call.link.state.lock();
        let mut way = state.check_reply(request.callee()).and(missing.map_or(Ok(()), Err));
        match state.pending.get_mut(&call.number) {
            Some(pending) => {
                pending.running -= 1;
                pending.settled |= way == Err(Reason::Unanswered);
                if pending.deadline <= now {
                    // The call is overdue because of its handler: the reply gets the time it needs.
                    late = true;
                    pending.deadline = now + self.grace();
                }
            }
            None => way = way.and(Err(Reason::CallOver)),
        }
        let faults = state.faults.clone();
        drop(state);

        let mut draws = Draws::new(call.link.seed.at(call.number).at(request.copy.into()));
        let coming = match way {
            Ok(()) => self.launch(reply, &faults, &mut draws),
            Err(reason) => {
                self.observe(&reply, Step::Dropped(reason));
                false
            }
        };
        let resolve = |delay, error| self.schedule(now + delay, Due::Resolve(Arc::clone(call), error));
        match way {
            Err(Reason::Panicked) => resolve(REFUSAL_TIME, RpcError::Lost),
            _ if late && !coming => resolve(self.grace(), RpcError::TimedOut),
            Err(Reason::Unanswered) => {
                resolve(self.unreachable_delay(&faults, &mut draws), RpcError::TimedOut);
            }
            _ => (),
        }
    }

    /// Gives a reply to the caller, if it may still have it. All under the link's lock: once a link is cut
    /// or a server deleted, nothing of it is delivered.
    fn receive_reply(&self, reply: Parcel) {
        let call = Arc::clone(&reply.call);
        let mut state = call.link.state.lock();
        let way = match state.check_reply(reply.callee()) {
            Err(Reason::LinkCut | Reason::ServerDeleted) if reply.goes_across() => Ok(()),
            way => way,
        };
        let way = way.and_then(|()| match state.pending.remove(&call.number) {
            Some(_) => Ok(()),
            None => Err(Reason::CallOver),
        });
        if let Err(reason) = way {
            drop(state);
            return self.observe(&reply, Step::Dropped(reason));
        }
        call.link.slot.counters.reply(reply.envelope().size());
        self.observe(&reply, Step::Delivered);
        let wake = call.finish(reply.into_outcome());
        drop(state);
        call.wake(wake);
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
