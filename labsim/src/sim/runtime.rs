//! One run: the scheduler, the threads it schedules, and what a thread may do inside the runtime.
//!
//! Invariant, the *baton*: of a run's threads at most one executes, and only it touches the run's state. It gets
//! the baton by being resumed and gives it up by resuming another; both hand-overs order what came before with
//! what comes after. Whoever waits for the run looks at its state only after `over` is set, when no thread of
//! the run executes any more.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::carrier::Idle;
use super::diagnosis::{self, Waits};
use super::handover::Kind;
use super::locks::Watched;
use super::policy::Points;
use super::raw;
use super::rng::Rng;
use super::scheduler::{Nanos, NodeId, OUTSIDE, Scheduler, Stop, ThreadId, Waiting};
use super::thread::Thread;
use super::watchdog;
use super::what_if::end_copy;
use crate::options::Options;
use crate::report::PanicNote;

/// Clock reads that cost nothing after each wait: a program reads the clock a few times for each thing it does.
const FREE_READS: u32 = 32;
/// The first poll beyond takes this long; each 64 polls double it, up to 512 times.
const POLL_COST: Nanos = 1_000;

/// As often as no library yields in a row.
const PATIENT_YIELDS: u32 = 64;

/// A wait that is worth a look when the run fails.
const LONG_WAIT: Nanos = 1_000_000_000;

/// Why a run is over.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The first thread's closure returned or panicked.
    Returned,
    Panicked,
    Deadlock,
    Livelock,
    Stuck,
    Memory,
    /// A thread called `exit`, with this code.
    Exit(i32),
    /// A thread called `abort`, or the standard library did for it.
    Abort,
}

pub(crate) struct Runtime {
    pub(crate) kind: Kind,
    pub(super) scheduler: RefCell<Scheduler>,
    pub(super) threads: RefCell<Vec<&'static Thread>>,
    pub(super) pthreads: RefCell<BTreeMap<libc::pthread_t, ThreadId>>,
    pub(super) idle: RefCell<Idle>,
    /// Allocations left until the policy is asked; and how many there were to begin with.
    pub(super) countdown: Cell<u32>,
    gap: Cell<u32>,
    /// What `getrandom` gives to the program, and what it gives to observers.
    random: RefCell<Rng>,
    observers_random: RefCell<Rng>,
    /// Whom a thread that was resumed only to show its stack gives the baton back to.
    visitor: Cell<Option<&'static Thread>>,
    pub(super) stacks_shown: RefCell<Vec<(ThreadId, Backtrace)>>,
    /// Of a run that fails with a panic.
    pub(super) waits: RefCell<Option<Waits>>,
    pub(super) watched: Watched,
    pub(crate) panics: RefCell<Vec<PanicNote>>,
    pub(crate) ending: RefCell<Option<Ending>>,
    pub(super) end_on_panic: bool,
    /// A thread panicked, and the run is to end with it: before any other thread runs. Not in the midst of the
    /// panic hook, which would stay locked.
    pub(super) ends_by_panic: Cell<bool>,
    stuck_max: Nanos,
    /// In a copy of the run, and only there: where its answer is to go. See `what_if`.
    pub(super) copy_answers_to: Cell<Option<RawFd>>,
    pub(crate) over: AtomicU32,
    /// For the watchdog: changes whenever a thread gives way; which thread runs, and on which kernel thread.
    pub(super) progress: AtomicU64,
    pub(super) running: AtomicU32,
    pub(super) runner: AtomicI32,
}

// SAFETY: the cells are used only by the holder of the baton, see the head of this file.
unsafe impl Sync for Runtime {}
// SAFETY: as above.
unsafe impl Send for Runtime {}

impl Runtime {
    pub(crate) fn new(options: &Options, kind: Kind, watched: Watched) -> &'static Runtime {
        let mut scheduler =
            Scheduler::new(options.seed, &options.schedule, options.livelock_switches, options.record);
        let gap = scheduler.next_gap();
        Box::leak(Box::new(Runtime {
            kind,
            scheduler: RefCell::new(scheduler),
            threads: RefCell::default(),
            pthreads: RefCell::default(),
            idle: RefCell::default(),
            countdown: Cell::new(gap),
            gap: Cell::new(gap),
            random: RefCell::new(Rng::new(options.seed, 3)),
            observers_random: RefCell::new(Rng::new(options.seed, 4)),
            visitor: Cell::new(None),
            stacks_shown: RefCell::default(),
            waits: RefCell::default(),
            watched,
            panics: RefCell::default(),
            ending: RefCell::new(None),
            end_on_panic: options.end_on_panic,
            ends_by_panic: Cell::new(false),
            stuck_max: options.stuck_max.as_nanos().try_into().unwrap_or(Nanos::MAX),
            copy_answers_to: Cell::new(None),
            over: AtomicU32::new(0),
            progress: AtomicU64::new(0),
            running: AtomicU32::new(0),
            runner: AtomicI32::new(0),
        }))
    }

    pub(super) fn thread(&self, id: ThreadId) -> &'static Thread {
        self.threads.borrow()[id.0 as usize]
    }

    /// The name by which reports call a thread.
    pub(super) fn name_of(&self, id: ThreadId) -> String {
        let scheduler = self.scheduler.borrow();
        let name = &scheduler.thread(id).name;
        if name.is_empty() { format!("#{}", id.0) } else { name.clone() }
    }
}

/// Proof that the calling thread belongs to a run, holds the baton, and is inside the runtime.
pub(crate) struct Inside {
    pub(crate) thread: &'static Thread,
}

impl Drop for Inside {
    fn drop(&mut self) {
        if watchdog::stop_is_asked(self.thread) {
            watchdog::stop_here(self.thread);
        }
        self.thread.inside.set(false);
    }
}

impl Inside {
    /// `None` for threads outside a run, and for calls the runtime itself makes.
    #[inline]
    pub(crate) fn enter() -> Option<Inside> {
        let thread = Thread::current()?;
        // Not `then_some`: the record that is not wanted would be made and dropped, and the drop leaves the runtime.
        (!thread.inside.replace(true)).then(|| Inside { thread })
    }

    pub(crate) fn runtime(&self) -> &'static Runtime {
        self.thread.runtime
    }

    pub(crate) fn scheduler(&self) -> RefMut<'static, Scheduler> {
        self.runtime().scheduler.borrow_mut()
    }

    pub(crate) fn node(&self) -> NodeId {
        self.scheduler().thread(self.thread.id).node
    }

    /// Whether the turn may be taken away here.
    fn preemptible(&self) -> bool {
        self.thread.preemptible()
    }

    /// Whether a crash or freeze of the thread's node may stop it here.
    fn clean(&self) -> bool {
        self.preemptible() && self.thread.visits.get() == 0
    }

    /// Gives up the turn until woken; true if the deadline passed first.
    pub(super) fn wait(&self, waiting: Waiting) -> bool {
        let now = self.scheduler().now();
        if waiting.deadline.is_some_and(|deadline| deadline <= now) {
            // Not free of charge, or a loop around it would stop the clock.
            self.give_way();
            return true;
        }
        self.thread.polls.set(0);
        // The standard library waits for nobody while it does that.
        self.thread.registering.set(false);
        self.scheduler().block(self.thread.id, waiting, self.clean());
        self.switch();
        self.scheduler().timed_out(self.thread.id)
    }

    /// `sched_yield`: lets others run, and takes a little time. A crash stops here only who has yielded for long:
    /// libraries yield a few times before they wait, and may hold a lock that all nodes share.
    pub(super) fn give_way(&self) {
        self.charge_poll();
        let clean = self.clean() && self.thread.polls.get() > PATIENT_YIELDS;
        self.scheduler().yield_now(self.thread.id, clean);
        self.switch();
    }

    /// A look at the clock. Free at first; a thread that looks again and again without waiting pays and gives
    /// way, so that a loop until some time ends.
    pub(super) fn read_clock(&self) {
        if self.thread.quiet.get() > 0 {
            return;
        }
        let polls = self.thread.polls.get();
        if polls < FREE_READS {
            self.thread.polls.set(polls + 1);
        } else if polls % 8 == 0 && self.preemptible() {
            // Not a place to be stopped: `parking_lot` looks at the clock with a lock of its own held.
            self.charge_poll();
            self.scheduler().yield_now(self.thread.id, false);
            self.switch();
        } else {
            self.charge_poll();
        }
    }

    fn charge_poll(&self) {
        let polls = self.thread.polls.get().saturating_add(1);
        self.thread.polls.set(polls);
        self.runtime().progress.fetch_add(1, Ordering::Relaxed);
        self.scheduler().charge(POLL_COST << (polls / 64).min(9));
    }

    /// A point at which the schedule may prefer another thread.
    pub(crate) fn offer(&self) {
        if self.preemptible() && self.scheduler().gives_way(self.thread.id, Points::Sync) {
            self.preempt();
        }
    }

    /// The countdown of allocations has run out.
    #[cold]
    pub(super) fn offer_at_allocation(&self) {
        let runtime = self.runtime();
        if !self.preemptible() {
            runtime.countdown.set(1);
            return;
        }
        let asked = self.scheduler().gives_way(self.thread.id, Points::Allocations(runtime.gap.get()));
        let gap = self.scheduler().next_gap();
        runtime.gap.set(gap);
        runtime.countdown.set(gap);
        if asked {
            self.preempt();
        }
    }

    fn preempt(&self) {
        self.scheduler().preempt(self.thread.id, false);
        self.switch();
    }

    /// A point that the program chose: the schedule may prefer another thread, a crash or freeze take effect.
    pub(super) fn pause(&self) {
        if self.preemptible() && self.scheduler().gives_way(self.thread.id, Points::Sync) {
            self.scheduler().preempt(self.thread.id, self.clean());
            self.switch();
        }
        self.unshielded();
    }

    /// At the end of a shielded scope: the thread's node may have been stopped meanwhile.
    pub(super) fn unshielded(&self) {
        if self.clean() && self.scheduler().stop_wanted(self.thread.id) {
            self.scheduler().yield_now(self.thread.id, true);
            self.switch();
        }
    }

    pub(super) fn random(&self, bytes: &mut [u8]) {
        let runtime = self.runtime();
        let quiet = self.thread.quiet.get() > 0;
        let stream = if quiet { &runtime.observers_random } else { &runtime.random };
        stream.borrow_mut().fill(bytes);
    }

    /// Resumes whoever the scheduler says; returns when it is this thread's turn again.
    fn switch(&self) {
        let next = self.next();
        if next.id != self.thread.id {
            self.thread.carrier.baton.pass(self.runtime().kind, &next.carrier.baton);
        }
        self.resumed();
    }

    fn next(&self) -> &'static Thread {
        let runtime = self.runtime();
        runtime.progress.fetch_add(1, Ordering::Relaxed);
        runtime.watched.look(self.thread.id);
        if runtime.ends_by_panic.get() {
            self.end_in_panic();
        }
        let next = self.scheduler().next();
        let suspects = self.scheduler().suspects(runtime.stuck_max);
        if !suspects.is_empty() {
            self.examine(suspects);
        }
        match next {
            Ok(id) => {
                runtime.running.store(id.0, Ordering::Relaxed);
                runtime.thread(id)
            }
            Err(stop) => self.stop(stop),
        }
    }

    /// On the first thread of a run, which needs no hand-over to start.
    pub(super) fn first(&self) {
        self.note_runner();
        let next = self.scheduler().next();
        assert_eq!(next, Ok(self.thread.id), "the first thread is alone");
    }

    /// After each resumption: shows the stack if that is all that was asked.
    pub(super) fn resumed(&self) {
        let runtime = self.runtime();
        while let Some(visitor) = runtime.visitor.get() {
            self.show_stack();
            self.thread.carrier.baton.pass(runtime.kind, &visitor.carrier.baton);
        }
        if runtime.kind == Kind::Futex {
            self.note_runner();
        }
    }

    /// From here on the kernel thread of this thread executes those of the run.
    fn note_runner(&self) {
        self.runtime().runner.store(self.thread.carrier.kernel_id.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The end of the thread: its closure has returned and its thread-local destructors have run. Returns when its
    /// carrier has its turn again.
    pub(super) fn finish(self) {
        self.scheduler().finish(self.thread.id);
        // The run may end here, and then for ever stands on this carrier's stack.
        let next = self.next();
        if self.thread.detached.get() {
            // It is still on the carrier, but leaves it before another can begin: it holds the baton.
            self.runtime().forget(self.thread);
        }
        // From here on the carrier is outside.
        Thread::set_current(None);
        self.thread.carrier.baton.pass(self.runtime().kind, &next.carrier.baton);
        // The record stays inside: nobody asks it any more.
        std::mem::forget(self);
    }

    fn stop(&self, stop: Stop) -> ! {
        self.visit(self.started());
        self.end(match stop {
            Stop::Deadlock => Ending::Deadlock,
            Stop::Livelock => Ending::Livelock,
        })
    }

    /// Ends the run. Nothing is unwound: the threads of the run just never run again.
    pub(crate) fn end(&self, ending: Ending) -> ! {
        let runtime = self.runtime();
        let ending = end_copy(runtime, ending);
        *runtime.ending.borrow_mut() = Some(ending);
        raw::futex_post(&runtime.over);
        raw::park_forever()
    }

    /// The same, and its report shows where the calling thread is.
    #[cold]
    pub(super) fn end_here(&self, ending: Ending) -> ! {
        self.show_stack();
        self.end(ending)
    }

    /// Ends the run if one of the threads waits for a lock.
    #[cold]
    fn examine(&self, suspects: Vec<ThreadId>) {
        self.visit(suspects);
        let shown = self.runtime().stacks_shown.take();
        if shown.iter().any(|(_, stack)| diagnosis::at_lock(stack).is_some()) {
            self.visit(self.started());
            self.end(Ending::Stuck);
        }
    }

    /// The first thread panicked: those that have waited for long may be the cause.
    pub(super) fn end_in_panic(&self) -> ! {
        self.diagnose();
        self.end(Ending::Panicked)
    }

    /// Takes down who has waited for long, and who keeps others waiting, unless that was done before.
    pub(super) fn diagnose(&self) {
        let runtime = self.runtime();
        if runtime.waits.borrow().is_some() {
            return;
        }
        let mut suspects = self.scheduler().suspects_now(LONG_WAIT);
        for holder in runtime.watched.holders() {
            if !suspects.contains(&holder) && self.scheduler().shows_stack(holder) {
                suspects.push(holder);
            }
        }
        self.visit(suspects);
        let stacks = runtime.stacks_shown.take();
        *runtime.waits.borrow_mut() = Some(diagnosis::waits(runtime, &stacks));
    }

    fn started(&self) -> Vec<ThreadId> {
        let scheduler = self.scheduler();
        let ids = (0..scheduler.threads().len() as u32).map(ThreadId);
        ids.filter(|id| scheduler.shows_stack(*id)).collect()
    }

    /// Resumes each of the threads for a moment, so that it shows its own stack.
    fn visit(&self, threads: Vec<ThreadId>) {
        let runtime = self.runtime();
        runtime.visitor.set(Some(self.thread));
        for id in threads {
            if id == self.thread.id {
                self.show_stack();
            } else {
                self.thread.carrier.baton.pass(runtime.kind, &runtime.thread(id).carrier.baton);
            }
        }
        runtime.visitor.set(None);
    }

    pub(super) fn show_stack(&self) {
        let stack = Backtrace::force_capture();
        self.runtime().stacks_shown.borrow_mut().push((self.thread.id, stack));
    }

    pub(super) fn spawn(&self) -> ThreadId {
        let node = self.node();
        self.scheduler().spawn(node)
    }
}

impl Runtime {
    /// The first thread, before there is a baton to hold.
    pub(super) fn spawn_first(&self) -> ThreadId {
        let mut scheduler = self.scheduler.borrow_mut();
        let id = scheduler.spawn(OUTSIDE);
        scheduler.set_name(id, "main".into());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::Inside;
    use crate::Options;

    #[test]
    fn a_call_that_the_runtime_makes_does_not_enter_it_and_does_not_leave_it_either() {
        let report = crate::run(Options::new(1), || {
            let outer = Inside::enter();
            let inner = [Inside::enter().is_some(), Inside::enter().is_some()];
            let entered = outer.is_some();
            drop(outer);
            (entered, inner, Inside::enter().is_some())
        });
        assert_eq!(report.result.unwrap(), (true, [false, false], true));
    }
}
