//! One run of a test: its clock, its randomness, its phases, its waits, and its first failure.
//!
//! Everything that waits in the harness waits here, on condition variables, and therefore ends at once when
//! the run is over: a failure anywhere unwinds the test's body and its helper threads from whatever they
//! wait for.

use std::fmt;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::eventlog::{Knob, Line, Lines};
use crate::events::{Events, Hook, Number, Outcome, Promise, What};
use crate::failure::{Failure, Finding};
use crate::incarnation::Incarnation;
use crate::name::TestName;
use crate::oracles::{Objection, Rule};
use crate::report::Told;
use crate::{evidence, text, threads};

/// How long things may take.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The whole test.
    pub(crate) test: Duration,
    /// A call of the harness into a server's own code. Such calls are promised to wait for nothing but the
    /// server's own lock or event loop.
    pub(crate) call: Duration,
}

/// A run of one test with one seed. Clones are handles to the same run.
#[derive(Clone)]
pub struct Run {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) name: TestName,
    pub(crate) seed: u64,
    pub(crate) started: Instant,
    /// The same, by the run's own clock.
    began: Duration,
    pub(crate) limits: Limits,
    /// Whether, and where, files are written about it.
    pub(crate) files: Knob,
    /// The number of the body's thread: older threads are none of the run's.
    pub(crate) first_thread: OnceLock<u64>,
    pub(crate) progress: Mutex<Progress>,
    /// Locked by observers only, so that nobody ever waits for it in virtual time; so is the next.
    pub(crate) events: Mutex<Events>,
    pub(crate) lines: Mutex<Lines>,
    /// Wakes those in [`Run::wait_until`]: the epoch has moved, or the run is over.
    changed: Condvar,
    /// Wakes those in [`Run::sleep`]: the run is over.
    over: Condvar,
    /// Wakes the test's own thread: a failure is there, or the body has ended.
    pub(crate) news: Condvar,
}

#[derive(Default)]
pub(crate) struct Progress {
    /// Counts what a waiting thread may be waiting for.
    epoch: u64,
    /// No more waiting: the test has failed or ended.
    pub(crate) over: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) body_ended: bool,
    pub(crate) phases: Vec<Phase>,
    /// The calls into servers' code that have not returned, oldest first.
    pub(crate) calls: Vec<Call>,
    calls_made: u64,
    pub(crate) subjects: Vec<Arc<dyn Subject>>,
    /// Those who have something to say of the run once it is over.
    pub(crate) judges: Vec<Judge>,
    /// Of the suite, for the review.
    evidence: Vec<u8>,
    /// The report of a run that failed, as far as it was made within.
    pub(crate) told: Option<Box<Told>>,
    /// What the subjects say about a run that passed.
    pub(crate) summary: Vec<String>,
    /// All there ever were, oldest first.
    pub(crate) incarnations: Vec<Arc<Incarnation>>,
    /// In real time: which thread numbers were given out while a server's incarnation was being made.
    pub(crate) births: Vec<(Range<u64>, Arc<Incarnation>)>,
    /// The threads that killed servers were found to have still: the server's node and the thread, by name.
    pub(crate) overdue: Vec<(String, String)>,
}

/// A part of a test, as reports show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    pub(crate) at: Duration,
    pub(crate) title: String,
}

/// A call of the harness into a server's code.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    id: u64,
    /// Which life of the server it is made into.
    into: Weak<Incarnation>,
    /// By a thread that is not the server's own.
    visits: bool,
    pub(crate) server: usize,
    pub(crate) what: &'static str,
    /// Time of the run.
    pub(crate) since: Duration,
}

impl Call {
    /// Says that the call has not returned within `limit`, and what it may be waiting for.
    pub(crate) fn overdue(&self, limit: Duration) -> String {
        let why = if self.what == "new()" {
            "it must return at once; start threads for loops"
        } else {
            "it must not wait for another server, for the apply channel, or for a lock that someone holds \
             meanwhile. Is a lock held while sending, calling or waiting, or taken twice by one thread?"
        };
        format!("{} of server {} has not returned within {limit:?}: {why}", self.what, self.server)
    }
}

/// What a run is about, for its reports: in the labs, a [`Cluster`](crate::Cluster).
pub trait Subject: Send + Sync {
    /// Lines about the present state, for the report of a failure: that this rule was broken, if it was one. Must not wait
    /// for the code under test.
    fn report(&self, broken: Option<&'static Rule>) -> String;
    /// A few words about a run that passed: "3 peers, 84 RPCs".
    fn summary(&self) -> String;
    /// Ends all that is still running.
    fn shut_down(&self);
}

/// Looks at what a run has left behind, once it is over; the error is its objection.
pub(crate) type Judge = Box<dyn FnOnce() -> Result<(), Finding> + Send>;

/// How long the threads of a killed server may take to end: a call to a server that cannot be reached takes up to 7 s.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The payload that unwinds a harness thread whose run is over. No failure by itself.
pub(crate) struct Over;

impl Run {
    pub(crate) fn new(name: TestName, seed: u64, limits: Limits, files: Knob) -> Run {
        let shared = Shared {
            name,
            seed,
            started: Instant::now(),
            began: labsim::now(),
            limits,
            files,
            first_thread: OnceLock::new(),
            progress: Mutex::default(),
            events: Mutex::default(),
            lines: Mutex::default(),
            changed: Condvar::new(),
            over: Condvar::new(),
            news: Condvar::new(),
        };
        Run { shared: Arc::new(shared) }
    }

    /// The seed from which all randomness of the run is drawn.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// A random stream of its own for each `purpose`, the same whenever the seed is the same.
    pub fn rng(&self, purpose: &str) -> StdRng {
        // FNV-1a: any fixed mixing of the purpose will do, as long as it is the same everywhere.
        let mixed = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        StdRng::seed_from_u64(self.shared.seed ^ mixed)
    }

    /// Looks at the progress, or changes it. A thread of a server is not stopped in the midst of that.
    pub(crate) fn progress<T>(&self, f: impl FnOnce(&mut Progress) -> T) -> T {
        labsim::no_preempt(|| f(&mut self.shared.progress.lock()))
    }

    /// The time since the run began, by its own clock, whatever server the calling thread belongs to.
    pub fn elapsed(&self) -> Duration {
        labsim::now().saturating_sub(self.shared.began)
    }

    /// Begins a part of the test, named as reports are to show it: "cut the leader off".
    pub fn phase(&self, title: impl Into<String>) {
        let phase = Phase { at: self.elapsed(), title: title.into() };
        log::info!("phase: {}", phase.title);
        let title = phase.title.clone();
        self.note(|events, at| events.beside(at, What::Phase { title }));
        self.progress(|progress| progress.phases.push(phase));
    }

    /// Enters into the stream of events that a client of the service asks for something; `value` is what it puts or
    /// appends. The answer is the number of the operation, for [`client_told`](Run::client_told).
    pub fn client_asks(&self, client: &str, op: &'static str, key: &str, value: Option<&str>) -> u64 {
        let (client, key, value) = (client.to_string(), text::shorten(key), value.map(text::shorten));
        let mut operation = 0;
        self.note(|events, at| {
            operation = events.next();
            events.beside(at, What::Call { id: operation, client, op, key, value })
        });
        operation
    }

    /// Enters that an operation has returned, with what it read, if it reads.
    pub fn client_told(&self, operation: u64, value: Option<&str>) {
        let value = value.map(text::shorten);
        self.note(|events, at| events.beside(at, What::Return { id: operation, value }));
    }

    /// Prints something that is suspicious but no failure.
    pub fn warn(&self, message: impl fmt::Display) {
        warn(format_args!("{}: {message}", self.shared.name));
    }

    /// Fails the run in virtual time. In real time, where a loaded machine may be at fault, prints a warning.
    #[track_caller]
    pub fn fail_if_virtual(&self, rule: &'static Rule, message: impl fmt::Display) {
        if labsim::is_simulated() {
            self.fail_under(rule, message);
        }
        self.warn(message);
    }

    /// Fails the run with a message and the place of the caller.
    #[track_caller]
    pub fn fail(&self, message: impl fmt::Display) -> ! {
        self.fail_under(None, message)
    }

    /// The same, because a rule was broken, if one is named.
    #[track_caller]
    pub fn fail_under(&self, rule: impl Into<Option<&'static Rule>>, message: impl fmt::Display) -> ! {
        // No panic, which could add nothing but a backtrace of the harness.
        let later = self.record(Failure {
            rule: rule.into(),
            location: Some(Location::caller().to_string()),
            thread: Some(threads::current_name()),
            server: threads::owner_in(self).and_then(|owner| Some(owner.incarnation?.server())),
            ..Failure::new(message.to_string(), self.elapsed())
        });
        if let Some(later) = later {
            log::warn!("a check that failed after the end: {later}");
        }
        unwind()
    }

    /// Looks at the stream of events, as an observer.
    pub fn events<T>(&self, look: impl FnOnce(&Events) -> T) -> T {
        labsim::observe(|| look(&self.shared.events.lock()))
    }

    /// Calls `hook` at the instant at which a server promises something by an answer, before the answer is on its way,
    /// with the encoded request: on the thread that answers, with no lock of the harness held. What an observer may do
    /// it may.
    pub(crate) fn on_promise(&self, hook: impl Fn(&Promise, &[u8]) + Send + Sync + 'static) {
        labsim::observe(|| self.shared.events.lock().hook(Arc::new(hook)));
    }

    /// Lets the oracles judge what happens from now on, on a cluster of so many servers.
    pub(crate) fn judge_events(&self, servers: usize) {
        labsim::observe(|| self.shared.events.lock().judge(servers));
    }

    /// Records something that happened. If an oracle objects, the run fails. Gives back what was promised with it, if
    /// somebody wants to know.
    pub(crate) fn note(
        &self,
        record: impl FnOnce(&mut Events, Duration) -> Outcome,
    ) -> Option<(Promise, Hook)> {
        let Outcome { objection, promise } = labsim::observe(|| {
            let at = self.elapsed();
            record(&mut self.shared.events.lock(), at)
        });
        if let Some(objection) = objection {
            self.object(*objection);
        }
        promise
    }

    /// Keeps a log line. To be called by an observer.
    pub(crate) fn keep_line(&self, line: impl FnOnce(Number, Duration) -> Line) {
        // Code under test may log while the stream decodes a message of its own: then it is this thread's.
        let before = self.shared.events.try_lock().map(|events| events.next());
        let before = before.unwrap_or_else(|| self.shared.lines.lock().last());
        let line = line(before, self.elapsed());
        self.shared.lines.lock().push(line);
    }

    /// How many servers were ever started; 0 while the stream is being written to.
    pub(crate) fn servers_seen(&self) -> usize {
        self.shared.events.try_lock().map_or(0, |events| events.servers())
    }

    /// Fails the run because a rule was broken, from a thread that is no part of the test's text.
    pub(crate) fn object(&self, objection: Objection) {
        let failure = Failure::of_rule(objection, self.elapsed());
        if let Some(later) = self.record(failure) {
            log::warn!("a rule was broken after the end: {later}");
        }
    }

    /// Fails the run because of what a server did, from a thread of the harness that is no part of the
    /// test's text. A server already dead fails nothing.
    pub fn fail_server(&self, incarnation: &Incarnation, objection: Objection) {
        if incarnation.is_alive() {
            self.record(Failure {
                thread: Some(threads::current_name()),
                server: Some(incarnation.server()),
                ..Failure::of_rule(objection, self.elapsed())
            });
        }
    }

    /// Waits for `duration`. Unwinds when the run is over, as every wait here does.
    pub fn sleep(&self, duration: Duration) {
        let deadline = Instant::now() + duration;
        let mut progress = self.shared.progress.lock();
        loop {
            if progress.over {
                drop(progress);
                unwind();
            }
            if self.shared.over.wait_until(&mut progress, deadline).timed_out() {
                return;
            }
        }
    }

    /// Waits at most `limit` until `ready` answers, asking it again whenever [`notify`](Run::notify) is
    /// called. `None` when the time is up.
    pub fn wait_until<T>(&self, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        loop {
            // The epoch is read before `ready` looks, so that a change in between is not slept through.
            let seen = {
                let progress = self.shared.progress.lock();
                if progress.over {
                    drop(progress);
                    unwind();
                }
                progress.epoch
            };
            if let Some(answer) = ready() {
                return Some(answer);
            }
            let mut progress = self.shared.progress.lock();
            while progress.epoch == seen && !progress.over {
                if self.shared.changed.wait_until(&mut progress, deadline).timed_out() {
                    return None;
                }
            }
            if Instant::now() >= deadline {
                return None;
            }
        }
    }

    /// Tells those in [`wait_until`](Run::wait_until) that something they look at has changed.
    pub fn notify(&self) {
        self.progress(|progress| progress.epoch += 1);
        self.shared.changed.notify_all();
    }

    /// Unwinds the calling thread if the run is over; for loops that wait for nothing.
    pub fn check_on(&self) {
        if self.progress(|progress| progress.over) {
            unwind();
        }
    }

    /// Runs `f` on a thread of its own, a helper of the test. A panic in it fails the run.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        let result = Arc::new(Mutex::new(None));
        let (run, slot) = (self.clone(), result.clone());
        threads::spawn(name.into(), self.clone(), None, move || {
            // A panic was recorded when it was raised; the run is then over, and so is the wait in `join`.
            if let Ok(value) = panic::catch_unwind(AssertUnwindSafe(f)) {
                *slot.lock() = Some(value);
                run.notify();
            }
        });
        Task { run: self.clone(), result }
    }

    /// Makes a call into the code of a server: should it panic, the panic is that server's; should it not
    /// return, the run fails and says so. `None`, and no call, if the server is dead: whoever holds its locks may
    /// never let go of them. If it dies meanwhile the call goes on to its end.
    pub fn calling<T>(
        &self,
        incarnation: &Arc<Incarnation>,
        what: &'static str,
        f: impl FnOnce() -> T,
    ) -> Option<T> {
        let (server, since) = (incarnation.server(), self.elapsed());
        let (into, visits) = (Arc::downgrade(incarnation), !incarnation.is_at_home());
        let id = self.progress(|progress| {
            progress.calls_made += 1;
            let id = progress.calls_made;
            let call = Call { id, into, visits, server, what, since };
            incarnation.is_alive().then(|| progress.calls.push(call)).map(|()| id)
        })?;
        let _made = CallMade { run: self, incarnation, id };
        Some(threads::acting_for(self, incarnation, f))
    }

    /// Ends a life of a server: no call into it is made from now on.
    pub(crate) fn end_life(&self, incarnation: &Incarnation) {
        self.progress(|_| incarnation.die());
    }

    /// Stops the threads of a life that has ended, as a power cut does. The harness's own calls into it come to their
    /// end first: whoever makes one must not wait for ever for a lock that a stopped thread holds.
    pub(crate) fn stop_life(&self, incarnation: &Arc<Incarnation>) {
        let is_into_it = |call: &&Call| std::ptr::eq(call.into.as_ptr(), Arc::as_ptr(incarnation));
        let no_visitor = || {
            let visited =
                self.progress(|progress| progress.calls.iter().filter(is_into_it).any(|it| it.visits));
            (!visited).then_some(())
        };
        // A call that does not return fails the run before this time is up.
        let _ = self.wait_until(self.shared.limits.test, no_visitor);
        incarnation.node().crash_hard();
        self.progress(|progress| progress.calls.retain(|call| !is_into_it(&call)));
    }

    /// The threads that servers still have 10 s after they were killed, or later: a line for each such server. In real
    /// time nobody knows them.
    pub fn overdue_threads(&self) -> Vec<String> {
        let now = Instant::now();
        let is_due = |it: &&Arc<Incarnation>| it.died().is_some_and(|died| now >= died + END_LIMIT);
        let due: Vec<_> =
            self.progress(|progress| progress.incarnations.iter().filter(is_due).cloned().collect());
        let line = |it: Arc<Incarnation>| {
            let threads = it.node().alive();
            let of_node = |thread: &String| (it.node().name().to_string(), thread.clone());
            self.progress(|progress| progress.overdue.extend(threads.iter().map(of_node)));
            let died = text::seconds(it.died()?.saturating_duration_since(self.shared.started));
            let count = text::count(threads.len(), "thread");
            (!threads.is_empty()).then(|| {
                format!("{}, killed at {died}, still has {count}: {}", it.node().name(), threads.join(", "))
            })
        };
        due.into_iter().filter_map(line).collect()
    }

    /// Puts a subject into the run's reports and lets the run end it.
    pub fn attach(&self, subject: Arc<dyn Subject>) {
        self.progress(|progress| progress.subjects.push(subject));
    }

    /// Has `judge` look at what the run leaves behind, once it is over, whether it has passed or not: outside of it,
    /// where work takes none of the run's time. The error fails the run, or adds to its report.
    ///
    /// The run's threads are then stopped for good, wherever they were: what `judge` locks they must only have
    /// locked within [`labsim::observe`] or [`labsim::no_preempt`].
    pub fn judge_afterwards(&self, judge: impl FnOnce() -> Result<(), Finding> + Send + 'static) {
        self.progress(|progress| progress.judges.push(Box::new(judge)));
    }

    /// Leaves something for the review that a grader may ask for ([`is_reviewed`](crate::is_reviewed)), once.
    pub fn leave_evidence(&self, evidence: Vec<u8>) {
        self.progress(|progress| progress.evidence = evidence);
    }

    /// What the run leaves for its review. For when it is over.
    pub(crate) fn evidence(&self) -> Vec<u8> {
        let of_suite = self.progress(|progress| std::mem::take(&mut progress.evidence));
        self.events(|events| evidence::encode(events.judged_servers().unwrap_or(0), events.kept(), &of_suite))
    }

    /// Makes `failure` the run's failure, unless it already has one or is over; then the failure is given back.
    pub(crate) fn record(&self, failure: Failure) -> Option<Failure> {
        self.progress(|progress| {
            if progress.over {
                return Some(failure);
            }
            progress.failure = Some(failure);
            self.end(progress);
            None
        })
    }

    /// Ends every wait.
    pub(crate) fn end(&self, progress: &mut Progress) {
        progress.over = true;
        labsim::observe(|| self.shared.events.lock().close());
        self.shared.changed.notify_all();
        self.shared.over.notify_all();
        self.shared.news.notify_all();
    }
}

/// A helper thread of the test.
#[must_use]
pub struct Task<T> {
    run: Run,
    result: Arc<Mutex<Option<T>>>,
}

impl<T> Task<T> {
    /// Waits at most `limit` for the thread's result; whether it is there.
    pub fn is_done_within(&self, limit: Duration) -> bool {
        self.run.wait_until(limit, || self.result.lock().is_some().then_some(())).is_some()
    }

    /// Waits for the thread's result.
    pub fn join(self) -> T {
        loop {
            let limit = self.run.shared.limits.test;
            if let Some(value) = self.run.wait_until(limit, || self.result.lock().take()) {
                return value;
            }
        }
    }
}

/// Takes a call off the list, whether it returned or panicked.
struct CallMade<'a> {
    run: &'a Run,
    incarnation: &'a Incarnation,
    id: u64,
}

impl Drop for CallMade<'_> {
    fn drop(&mut self) {
        self.run.progress(|progress| progress.calls.retain(|call| call.id != self.id));
        if !self.incarnation.is_alive() {
            // Its end may be waited for.
            self.run.notify();
        }
    }
}

/// Prints a warning; what begins like this is shown even if the test passes.
pub(crate) fn warn(message: impl fmt::Display) {
    labsim::observe(|| labsim::eprint(&format!("warning: {message}\n")));
}

fn unwind() -> ! {
    panic::resume_unwind(Box::new(Over))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_does_not_return_is_told_what_it_must_not_do() {
        for (what, hint) in [("new()", "start threads for loops"), ("start()", "taken twice by one thread?")]
        {
            let (into, since) = (Weak::new(), Duration::ZERO);
            let call = Call { id: 1, into, visits: true, server: 2, what, since };
            let text = call.overdue(Duration::from_secs(10));
            assert!(text.starts_with(&format!("{what} of server 2 has not returned within 10s: ")), "{text}");
            assert!(text.contains(hint), "{text}");
        }
    }
}
