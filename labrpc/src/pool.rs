//! [`Pool`]: the threads of one node that run its handlers and callbacks.
//!
//! Handlers may block, for as long as they like, and must not hold up each other. So the pool grows while
//! all its threads are busy, by this rule: *while jobs are queued, some thread is on its way to the queue.*
//! Whoever adds a job, and whoever takes one and leaves others behind (as this one may block), calls for a
//! thread unless one has been called that has not arrived yet. So a burst of jobs does not wake, or start,
//! a thread for each of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::job::Job;
use crate::message::Method;

/// Starts the threads of one node, so that they are the node's and not the network's: counted, named, ended
/// with it.
pub trait Spawn: Send + Sync {
    /// Runs `f` on a new thread. `name` says what for, and is unique neither in the process nor in the
    /// node.
    fn spawn(&self, name: String, f: Box<dyn FnOnce() + Send>);

    /// Runs `f`, once, on the calling thread, which may hold locks of the network meanwhile, or wait for them or for
    /// a reply. Whoever can stop the node's threads for good, as a crash would, must not do so there.
    fn shield(&self, f: &mut dyn FnMut()) {
        f();
    }
}

/// Starts ordinary threads that belong to nobody.
///
/// Nodes are told apart by their [`Spawn`] (the `Arc`, not the type), and each has threads of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Spawn for Threads {
    /// # Panics
    ///
    /// Panics when the system starts no more threads.
    fn spawn(&self, name: String, f: Box<dyn FnOnce() + Send>) {
        thread::Builder::new().name(name).spawn(f).expect("cannot start a thread");
    }
}

/// How many threads a node may have for its handlers and callbacks.
pub(crate) const MAX_THREADS: usize = 4096;

/// How long a thread waits for its next job before it ends.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// The threads of one node.
pub(crate) struct Pool {
    spawn: Arc<dyn Spawn>,
    max_threads: usize,
    linger: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads that sleep, the one that went to sleep last at the end: it is the first to be woken, so that
    /// the others can end when they are not needed.
    idle: Vec<Arc<Condvar>>,
    /// Threads that are about to sleep and look at the queue until then.
    lingering: usize,
    /// A thread has been called and has not arrived at the queue yet.
    called: bool,
    /// What each thread is doing; a thread's number is its position. `None` for numbers not in use.
    threads: Vec<Option<Doing>>,
    /// Servers and open clients that use the pool. Without any, no thread waits for a next job.
    users: usize,
    /// The cap has been reported; cleared when the queue has been emptied.
    reported: bool,
}

#[derive(Clone, Copy)]
enum Doing {
    /// It was called when it was started, and has not arrived yet.
    Coming,
    Waiting,
    Callback,
    /// Runs a handler for a call that was made at `called`.
    Handler {
        method: &'static Method,
        called: Instant,
    },
}

/// A thread to be called, once the lock is released.
enum Call {
    Nobody,
    Sleeper(Arc<Condvar>),
    New(usize),
}

impl Pool {
    pub(crate) fn new(spawn: Arc<dyn Spawn>, max_threads: usize, linger: Duration) -> Self {
        Pool { spawn, max_threads, linger, state: Mutex::default() }
    }

    pub(crate) fn is_of(&self, spawn: &Arc<dyn Spawn>) -> bool {
        Arc::ptr_eq(&self.spawn, spawn)
    }

    /// The result of `f`, run by [`Spawn::shield`].
    pub(crate) fn shield<T>(&self, f: impl FnOnce() -> T) -> T {
        let (mut f, mut result) = (Some(f), None);
        self.spawn.shield(&mut || result = f.take().map(|f| f()));
        result.expect("`Spawn::shield` runs what it is given")
    }

    /// Runs `job` on a thread of the node; never blocks.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let mut state = self.state.lock();
        state.queue.push_back(job);
        self.call(state);
    }

    /// Another server or client uses the pool.
    pub(crate) fn attach(&self) {
        self.state.lock().users += 1;
    }

    /// A server or client is gone. With the last one, idle threads end.
    pub(crate) fn detach(&self) {
        let mut state = self.state.lock();
        state.users -= 1;
        if state.users == 0 {
            for sleeper in state.idle.drain(..) {
                sleeper.notify_one();
            }
        }
    }

    /// Sees to it that a thread is on its way to the queue, if there are jobs.
    fn call(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let call = state.whom_to_call(self.max_threads);
        drop(state);
        match call {
            Call::Nobody => (),
            Call::Sleeper(sleeper) => drop(sleeper.notify_one()),
            Call::New(number) => {
                let thread = Thread { pool: Arc::clone(self), number, wake: Arc::default() };
                self.spawn.spawn(format!("rpc-{number}"), Box::new(move || thread.run()));
            }
        }
    }
}

impl State {
    fn whom_to_call(&mut self, max_threads: usize) -> Call {
        if self.called || self.queue.is_empty() {
            return Call::Nobody;
        }
        if self.lingering > 0 {
            self.called = true;
            return Call::Nobody;
        }
        if let Some(sleeper) = self.idle.pop() {
            self.called = true;
            return Call::Sleeper(sleeper);
        }
        let number = self.threads.iter().position(Option::is_none).unwrap_or(self.threads.len());
        if number >= max_threads {
            self.report();
            return Call::Nobody;
        }
        if number == self.threads.len() {
            self.threads.push(None);
        }
        self.threads[number] = Some(Doing::Coming);
        self.called = true;
        Call::New(number)
    }

    /// Says, once for each time the cap is hit, that calls wait, and for whom.
    fn report(&mut self) {
        if !std::mem::replace(&mut self.reported, true) {
            log::error!("{}", self.complaint());
        }
    }

    fn complaint(&self) -> String {
        let handlers = self.threads.iter().filter_map(|doing| match doing {
            Some(Doing::Handler { method, called }) => Some((called, method)),
            _ => None,
        });
        let oldest = match handlers.min_by_key(|(called, _)| *called) {
            Some((called, method)) => format!("the oldest is in {method}, called {:?} ago", called.elapsed()),
            None => "all are in callbacks of on_reply".to_owned(),
        };
        format!("all {} threads of a node are busy, and further calls wait: {oldest}", self.threads.len())
    }
}

/// One thread of the pool.
struct Thread {
    pool: Arc<Pool>,
    number: usize,
    wake: Arc<Condvar>,
}

impl Thread {
    fn run(&self) {
        self.pool.shield(|| self.pool.state.lock().called = false);
        while let Some(job) = self.pool.shield(|| self.next_job()) {
            job.run();
        }
    }

    /// Takes the next job, or waits for one; `None` if none came.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.pool.state.lock();
        state.threads[self.number] = Some(Doing::Waiting);
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.threads[self.number] = Some(match job.handler() {
                    Some((method, called)) => Doing::Handler { method, called },
                    None => Doing::Callback,
                });
                self.pool.call(state);
                return Some(job);
            }
            if state.users == 0 || !self.wait(&mut state) {
                return None;
            }
        }
    }

    /// Waits for a job; false if none came.
    fn wait(&self, state: &mut MutexGuard<'_, State>) -> bool {
        state.reported = false;
        if self.pool.linger > Duration::ZERO && self.linger(state) {
            return true;
        }
        state.idle.push(Arc::clone(&self.wake));
        let deadline = Instant::now() + IDLE_MAX;
        loop {
            let late = self.wake.wait_until(state, deadline).timed_out();
            // Who calls a sleeper takes it off the list.
            match state.idle.iter().position(|sleeper| Arc::ptr_eq(sleeper, &self.wake)) {
                None => break,
                Some(position) if late => {
                    state.idle.remove(position);
                    return false;
                }
                Some(_) => (),
            }
        }
        state.called = false;
        true
    }

    /// Offers the processor to others for a while; true if that brought a job.
    fn linger(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let start = Instant::now();
        state.lingering += 1;
        while state.queue.is_empty() && start.elapsed() < self.pool.linger {
            MutexGuard::unlocked(state, thread::yield_now);
        }
        state.lingering -= 1;
        state.called = false;
        !state.queue.is_empty()
    }
}

impl Drop for Thread {
    /// The thread has ended, or a node that is gone never started it.
    fn drop(&mut self) {
        self.pool.shield(|| {
            let mut state = self.pool.state.lock();
            match state.threads[self.number].take() {
                // Nobody is called in its place: a node that is gone would not start that one either.
                Some(Doing::Coming) => state.called = false,
                // At the cap nobody was called for the jobs that have come since it found none.
                _ => self.pool.call(state),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;
    use crate::RpcError;

    /// Below `IDLE_MAX`, so that a thread which ends in time did not end by itself.
    const SOON: Duration = Duration::from_secs(4);

    struct Bench {
        pool: Arc<Pool>,
        started: Receiver<u32>,
        sender: Sender<u32>,
    }

    impl Bench {
        fn new(max_threads: usize) -> Self {
            let (sender, started) = mpsc::channel();
            let pool = Arc::new(Pool::new(Arc::new(Threads), max_threads, Duration::ZERO));
            pool.attach();
            Bench { pool, started, sender }
        }

        /// Submits a job that says it has started and then runs until the sender returned is dropped.
        fn submit(&self, job: u32) -> Sender<()> {
            let (end, until_end) = mpsc::channel();
            let started = self.sender.clone();
            let run = move |_| {
                started.send(job).unwrap();
                until_end.recv().unwrap_err();
            };
            self.pool.submit(Job::Callback(Box::new(run), Err(RpcError::Lost)));
            end
        }

        fn until_started(&self) -> u32 {
            self.started.recv_timeout(SOON).expect("a job starts")
        }

        fn threads(&self) -> usize {
            self.pool.state.lock().threads.iter().flatten().count()
        }

        fn until(&self, what: impl Fn(&State) -> bool) {
            let start = Instant::now();
            while !what(&self.pool.state.lock()) {
                assert!(start.elapsed() < SOON);
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn blocked_jobs_each_get_a_thread() {
        let bench = Bench::new(100);
        let jobs: Vec<_> = (0..50).map(|job| bench.submit(job)).collect();
        let mut started: Vec<_> = (0..50).map(|_| bench.until_started()).collect();
        started.sort_unstable();
        assert_eq!(started, (0..50).collect::<Vec<_>>());
        assert_eq!(bench.threads(), 50);
        drop(jobs);
    }

    #[test]
    fn the_thread_that_went_to_sleep_last_is_reused() {
        let bench = Bench::new(100);
        let (first, second) = (bench.submit(1), bench.submit(2));
        bench.until_started();
        bench.until_started();
        drop(first);
        bench.until(|state| state.idle.len() == 1);
        drop(second);
        bench.until(|state| state.idle.len() == 2);
        let last = Arc::clone(&bench.pool.state.lock().idle[1]);
        let third = bench.submit(3);
        bench.until_started();
        assert_eq!(bench.threads(), 2);
        assert!(!bench.pool.state.lock().idle.iter().any(|sleeper| Arc::ptr_eq(sleeper, &last)));
        drop(third);
    }

    #[test]
    fn at_the_cap_jobs_wait_their_turn() {
        let bench = Bench::new(2);
        let (first, second) = (bench.submit(1), bench.submit(2));
        assert_eq!(bench.until_started() + bench.until_started(), 3);
        assert!(!bench.pool.state.lock().reported);
        let (third, fourth) = (bench.submit(3), bench.submit(4));
        assert!(bench.pool.state.lock().reported);
        assert!(bench.started.try_recv().is_err());
        drop(first);
        assert_eq!(bench.until_started(), 3);
        drop(second);
        assert_eq!(bench.until_started(), 4);
        assert_eq!(bench.threads(), 2);
        drop((third, fourth));
        bench.until(|state| state.idle.len() == 2 && !state.reported);
    }

    #[test]
    fn the_complaint_names_the_oldest_handler() {
        static OLD: Method = Method::new::<u8, u8>("kv", "get");
        static NEW: Method = Method::new::<u8, u8>("kv", "put");
        let now = Instant::now();
        let handler = |method, called| Some(Doing::Handler { method, called });
        let threads = vec![
            Some(Doing::Callback),
            handler(&NEW, now),
            handler(&OLD, now - Duration::from_secs(3)),
            Some(Doing::Waiting),
        ];
        let mut state = State { threads, ..State::default() };
        let text = state.complaint();
        assert!(text.starts_with("all 4 threads of a node are busy"), "{text}");
        assert!(text.contains("the oldest is in kv.get, called 3"), "{text}");
        state.threads.truncate(1);
        assert!(state.complaint().ends_with("all are in callbacks of on_reply"));
    }

    #[test]
    fn a_panicking_job_costs_no_thread() {
        let bench = Bench::new(1);
        bench.pool.submit(Job::Callback(Box::new(|_| panic!("on purpose")), Err(RpcError::Lost)));
        let job = bench.submit(1);
        assert_eq!(bench.until_started(), 1);
        drop(job);
    }

    #[test]
    fn without_users_threads_end_and_yet_jobs_run() {
        let bench = Bench::new(10);
        drop(bench.submit(1));
        bench.until_started();
        bench.until(|state| state.idle.len() == 1);
        bench.pool.detach();
        bench.until(|state| state.threads.iter().all(Option::is_none));
        let job = bench.submit(2);
        assert_eq!(bench.until_started(), 2);
        drop(job);
        bench.until(|state| state.threads.iter().all(Option::is_none));
    }

    /// A node whose threads run when the test says so.
    #[derive(Default)]
    struct Later {
        threads: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    }

    impl Spawn for Later {
        fn spawn(&self, _: String, f: Box<dyn FnOnce() + Send>) {
            self.threads.lock().push(f);
        }
    }

    impl Later {
        /// Runs the next thread to its end.
        fn run(&self) {
            let thread = self.threads.lock().remove(0);
            thread();
        }
    }

    fn job(f: impl FnOnce() + Send + 'static) -> Job {
        Job::Callback(Box::new(move |_| f()), Err(RpcError::Lost))
    }

    /// The end of one thread hid that another had been called, so that the next job called a third.
    #[test]
    fn a_thread_that_ends_leaves_the_call_for_another_standing() {
        let node = Arc::new(Later::default());
        let pool = Arc::new(Pool::new(node.clone(), 10, Duration::ZERO));
        let other = Arc::clone(&pool);
        pool.submit(job(move || other.submit(job(|| ()))));
        node.run();
        assert!(pool.state.lock().queue.is_empty(), "the first thread has taken both jobs");
        pool.submit(job(|| ()));
        assert_eq!(node.threads.lock().len(), 1, "the second thread is on its way");
        node.run();
        assert!(pool.state.lock().queue.is_empty());
        assert!(!pool.state.lock().called);
    }

    /// A job that came when the last thread had found nothing to do, but counted still, was called nobody for.
    #[test]
    fn at_the_cap_a_job_that_comes_as_a_thread_ends_gets_another() {
        let node = Arc::new(Later::default());
        let pool = Arc::new(Pool::new(node.clone(), 1, Duration::ZERO));
        pool.state.lock().threads.push(Some(Doing::Waiting));
        let thread = Thread { pool: Arc::clone(&pool), number: 0, wake: Arc::default() };
        thread.run();
        let (sender, done) = mpsc::channel();
        pool.submit(job(move || sender.send(()).unwrap()));
        assert!(node.threads.lock().is_empty(), "there is no number for another thread");
        drop(thread);
        node.run();
        assert_eq!(done.try_recv(), Ok(()));
    }

    /// A node that is gone starts no threads.
    #[test]
    fn a_thread_that_is_never_started_leaves_nothing_behind() {
        struct Gone;
        impl Spawn for Gone {
            fn spawn(&self, _: String, _: Box<dyn FnOnce() + Send>) {}
        }
        let pool = Arc::new(Pool::new(Arc::new(Gone), 10, Duration::ZERO));
        pool.submit(Job::Callback(Box::new(|_| ()), Err(RpcError::Lost)));
        let state = pool.state.lock();
        assert_eq!(state.threads.iter().flatten().count(), 0);
        assert!(!state.called);
    }
}
