//! The scheduler as plain data: threads, run queue, timers, futex queues, nodes, the virtual clock.
//!
//! No threads, no unsafe code, no clock of its own: the runtime tells it what the running thread did and asks
//! who runs next. Every decision comes from the seed and from the order of these calls, nothing else.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::mem;

use super::clock::NodeClock;
use super::policy::{Points, Policy};
use super::rng::Rng;
use super::trace::Trace;
use crate::options::Schedule;

/// Virtual nanoseconds since the run started.
pub(crate) type Nanos = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ThreadId(pub(crate) u32);

/// The thread that begins a run, and ends it.
pub(crate) const FIRST: ThreadId = ThreadId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(pub(crate) u32);

impl Waiting {
    /// Only another thread can end the wait.
    fn is_for_a_wake(&self) -> bool {
        self.futex.is_some() && self.deadline.is_none()
    }
}

/// Node 0: the threads that belong to no node.
pub(crate) const OUTSIDE: NodeId = NodeId(0);

/// What a blocked thread waits for; any of the three may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Address of the futex word and the mask of the wakes that concern it.
    pub(crate) futex: Option<(usize, u32)>,
    pub(crate) join: Option<ThreadId>,
    pub(crate) deadline: Option<Nanos>,
    /// It waits for nothing: see [`Stalls`].
    pub(crate) stalled: bool,
}

/// How the threads of a node lose their processor for a while, wherever they are, as where others want it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalls {
    /// One preemption in so many, and one synchronising call in so many, is a stall. Not 0.
    pub(crate) one_in: u32,
    /// How long it lasts at most.
    pub(crate) max: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Running, or in the run queue.
    Runnable,
    Waiting(Waiting),
    /// Could run, but its node is frozen.
    Held,
    Finished,
    /// Its node crashed; it never runs again.
    Crashed,
}

/// Why nobody can run next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Every thread waits, none of them for a time.
    Deadlock,
    /// So many switches in a row without a timer firing.
    Livelock,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) node: NodeId,
    pub(crate) state: State,
    pub(crate) name: String,
    /// When it entered its present state.
    pub(crate) since: Nanos,
    /// It has run at least once, so it has a stack to show.
    pub(crate) started: bool,
    timed_out: bool,
    /// It gave up its turn where a crash or a freeze may stop it: see [`Scheduler::block`].
    clean: bool,
    /// Its last wait for a futex ended with a wake, which may be meant to be handed on: see [`Scheduler::crash`].
    woken: bool,
    /// The wait that was last looked into: see [`Scheduler::suspects`].
    examined: u64,
    /// Counts its waits.
    generation: u64,
    /// By what it stands in `timers`, if its wait has a deadline.
    timer: Option<(Nanos, u64)>,
    joiner: Option<ThreadId>,
}

#[derive(Debug)]
pub(crate) struct NodeSlot {
    pub(crate) name: String,
    pub(crate) clock: NodeClock,
    pub(crate) crashed: bool,
    pub(crate) frozen: bool,
    pub(crate) stalls: Option<Stalls>,
}

impl NodeSlot {
    fn new(name: String) -> NodeSlot {
        NodeSlot { name, clock: NodeClock::default(), crashed: false, frozen: false, stalls: None }
    }
}

#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) trace: Trace,
    pub(crate) switches: u64,
    threads: Vec<Slot>,
    nodes: Vec<NodeSlot>,
    /// invariant: exactly the threads in state `Runnable`, less the running one.
    runnable: Vec<ThreadId>,
    /// invariant: exactly the threads in state `Waiting` with a deadline; the one whose timer fires next is the last, and of
    /// those that fire at one time the one that has waited longest. So short a list is faster than a heap or a tree.
    timers: Vec<((Nanos, u64), ThreadId)>,
    timers_armed: u64,
    /// invariant: exactly the threads in state `Waiting` with a futex, in order of arrival; no empty queue.
    futexes: HashMap<usize, VecDeque<ThreadId>, AddressHash>,
    spare_queues: Vec<VecDeque<ThreadId>>,
    now: Nanos,
    /// Switches since a timer last fired. Preemptions do not count: they end with the work they interrupt. What
    /// polling costs does not count as time that passes: threads that only yield to each other get nowhere.
    still: u64,
    still_max: u64,
    /// When to look for suspects next.
    suspect_at: Nanos,
    policy: Policy,
    rng: Rng,
}

impl Scheduler {
    pub(crate) fn new(seed: u64, schedule: &Schedule, still_max: u64, record: bool) -> Self {
        let policy = Policy::new(schedule, &mut Rng::new(seed, 1));
        let outside = NodeSlot::new(String::new());
        Scheduler {
            trace: Trace::new(record),
            switches: 0,
            threads: Vec::new(),
            nodes: vec![outside],
            runnable: Vec::new(),
            timers: Vec::new(),
            timers_armed: 0,
            futexes: HashMap::default(),
            spare_queues: Vec::new(),
            now: 0,
            still: 0,
            still_max,
            suspect_at: 0,
            policy,
            rng: Rng::new(seed, 2),
        }
    }

    pub(crate) fn now(&self) -> Nanos {
        self.now
    }

    pub(crate) fn threads(&self) -> &[Slot] {
        &self.threads
    }

    pub(crate) fn thread(&self, id: ThreadId) -> &Slot {
        &self.threads[id.0 as usize]
    }

    fn slot(&mut self, id: ThreadId) -> &mut Slot {
        &mut self.threads[id.0 as usize]
    }

    pub(crate) fn set_name(&mut self, id: ThreadId, name: String) {
        self.slot(id).name = name;
    }

    /// A new thread of `node`, runnable.
    pub(crate) fn spawn(&mut self, node: NodeId) -> ThreadId {
        let id = ThreadId(self.threads.len() as u32);
        self.threads.push(Slot {
            node,
            state: State::Runnable,
            name: String::new(),
            since: self.now,
            started: false,
            timed_out: false,
            clean: true,
            woken: false,
            examined: 0,
            generation: 0,
            timer: None,
            joiner: None,
        });
        self.policy.thread_started(&mut self.rng);
        self.trace.event(u64::from(id.0));
        self.enqueue(id);
        id
    }

    /// The running thread waits. `clean` says that it stands where its node's crash or freeze may stop it: in
    /// no shielded scope, and not in the midst of what an allocation interrupted.
    pub(crate) fn block(&mut self, me: ThreadId, waiting: Waiting, clean: bool) {
        let now = self.now;
        if waiting.is_for_a_wake() {
            self.slot(me).clean = clean;
        } else if self.leave(me, clean) {
            return;
        }
        let slot = self.slot(me);
        slot.state = State::Waiting(waiting);
        // Who is stalled in the midst of what it was woken for still has that before it.
        slot.woken &= waiting.stalled;
        slot.since = now;
        slot.timed_out = false;
        slot.generation += 1;
        if let Some((address, _)) = waiting.futex {
            let spare = &mut self.spare_queues;
            let queue = self.futexes.entry(address).or_insert_with(|| spare.pop().unwrap_or_default());
            queue.push_back(me);
        }
        if let Some(target) = waiting.join {
            self.slot(target).joiner = Some(me);
        }
        if let Some(deadline) = waiting.deadline {
            let late = deadline.saturating_add(self.policy.slack(&mut self.rng));
            self.timers_armed += 1;
            let timer = (late, self.timers_armed);
            let at = self.timer_position(timer);
            self.timers.insert(at, (timer, me));
            self.slot(me).timer = Some(timer);
        }
    }

    /// The running thread gives way of its own accord.
    pub(crate) fn yield_now(&mut self, me: ThreadId, clean: bool) {
        self.policy.yielded(me);
        if !self.leave(me, clean) {
            self.enqueue(me);
        }
    }

    /// The running thread is made to give way, wherever it is. For a while, perhaps, if its node has [`Stalls`].
    pub(crate) fn preempt(&mut self, me: ThreadId, clean: bool) {
        // Whoever preempts did not choose the moment, so this is no sign of a livelock.
        self.still = self.still.saturating_sub(1);
        if let Some(Stalls { one_in, max }) = self.node(self.thread(me).node).stalls {
            if self.rng.one_in(one_in) {
                let deadline = Some(self.now.saturating_add(1 + self.rng.below(max)));
                // A crash takes effect when it goes on.
                return self.block(me, Waiting { deadline, stalled: true, ..Waiting::default() }, false);
            }
        }
        if !self.leave(me, clean) {
            self.enqueue(me);
        }
    }

    pub(crate) fn finish(&mut self, me: ThreadId) {
        let now = self.now;
        let slot = self.slot(me);
        slot.state = State::Finished;
        slot.since = now;
        if let Some(joiner) = slot.joiner.take() {
            self.wake(joiner, false);
        }
    }

    /// Notes where `me` gave up its turn; true if that was its end, its node having crashed.
    fn leave(&mut self, me: ThreadId, clean: bool) -> bool {
        let slot = self.slot(me);
        slot.clean = clean;
        let crashed = clean && self.node(self.thread(me).node).crashed;
        if crashed {
            self.slot(me).state = State::Crashed;
        }
        crashed
    }

    /// Who runs next. Moves the clock to the next timer if nobody can run before.
    pub(crate) fn next(&mut self) -> Result<ThreadId, Stop> {
        while self.runnable.is_empty() {
            let Some(((when, _), _)) = self.timers.last() else { return Err(Stop::Deadlock) };
            self.advance_to(*when);
        }
        self.still += 1;
        if self.still > self.still_max {
            return Err(Stop::Livelock);
        }
        let fair = self.still > self.still_max / 16;
        let at = self.policy.choose(&self.runnable, fair, &mut self.rng);
        let id = self.runnable.swap_remove(at);
        self.slot(id).started = true;
        self.switches += 1;
        self.trace.switch(id, self.now);
        Ok(id)
    }

    /// Why the last wait of `id` ended: true if its deadline passed.
    pub(crate) fn timed_out(&self, id: ThreadId) -> bool {
        self.thread(id).timed_out
    }

    /// The running thread used `cost` of time.
    pub(crate) fn charge(&mut self, cost: Nanos) {
        self.advance_to(self.now.saturating_add(cost));
    }

    fn advance_to(&mut self, when: Nanos) {
        self.now = self.now.max(when);
        while let Some(&((at, _), id)) = self.timers.last() {
            if at > self.now {
                break;
            }
            self.still = 0;
            self.wake(id, true);
        }
    }

    /// Wakes up to `count` threads that wait on `address` with a mask that meets `mask`; how many it woke. Which
    /// ones is drawn: the kernel promises no order.
    pub(crate) fn wake_futex(&mut self, address: usize, mask: u32, count: usize) -> usize {
        let mut woken = 0;
        while woken < count {
            let Some(queue) = self.futexes.get(&address) else { break };
            let meets = |id: &ThreadId| match self.threads[id.0 as usize].state {
                State::Waiting(Waiting { futex: Some((_, theirs)), .. }) => theirs & mask != 0,
                _ => false,
            };
            let candidates = queue.iter().filter(|id| meets(id)).count();
            let nth = match candidates {
                0 => break,
                1 => 0,
                n => self.rng.below(n as u64) as usize,
            };
            let Some(id) = queue.iter().copied().filter(meets).nth(nth) else { break };
            self.wake(id, false);
            woken += 1;
        }
        woken
    }

    /// The thread that has waited longest on `address`.
    pub(crate) fn waiter_at(&self, address: usize) -> Option<ThreadId> {
        self.futexes.get(&address).and_then(|queue| queue.front().copied())
    }

    fn wake(&mut self, id: ThreadId, timed_out: bool) {
        self.unlink(id);
        let now = self.now;
        let slot = self.slot(id);
        let State::Waiting(waiting) = slot.state else { unreachable!("{slot:?}") };
        slot.state = State::Runnable;
        slot.woken = if waiting.stalled { slot.woken } else { waiting.futex.is_some() && !timed_out };
        slot.timed_out = timed_out;
        slot.since = now;
        self.enqueue(id);
    }

    /// Takes a waiting thread out of the queues it waits in.
    fn unlink(&mut self, id: ThreadId) {
        let State::Waiting(waiting) = self.thread(id).state else { return };
        if let Some((address, _)) = waiting.futex {
            if let Some(queue) = self.futexes.get_mut(&address) {
                queue.retain(|other| *other != id);
                if queue.is_empty() {
                    self.spare_queues.extend(self.futexes.remove(&address));
                }
            }
        }
        if let Some(target) = waiting.join {
            self.slot(target).joiner = None;
        }
        if let Some(timer) = self.slot(id).timer.take() {
            let at = self.timer_position(timer);
            self.timers.remove(at);
        }
    }

    fn timer_position(&self, timer: (Nanos, u64)) -> usize {
        self.timers.partition_point(|(other, _)| *other > timer)
    }

    fn enqueue(&mut self, id: ThreadId) {
        let slot = self.thread(id);
        let node = &self.nodes[slot.node.0 as usize];
        let state = if slot.clean && node.crashed && !slot.woken {
            State::Crashed
        } else if slot.clean && node.frozen {
            State::Held
        } else {
            State::Runnable
        };
        self.slot(id).state = state;
        if state == State::Runnable {
            self.runnable.push(id);
        }
    }

    /// Whether the running thread gives way here.
    pub(crate) fn gives_way(&mut self, me: ThreadId, points: Points) -> bool {
        let asked = self.policy.gives_way(me, &self.runnable, points, &mut self.rng);
        if self.node(self.thread(me).node).stalls.is_some() {
            // Whoever has just woken another may be about to decide by what the other is going to change.
            asked || points == Points::Sync
        } else {
            asked && !self.runnable.is_empty()
        }
    }

    pub(crate) fn next_gap(&mut self) -> u32 {
        self.policy.next_gap(&mut self.rng)
    }

    pub(crate) fn node(&self, id: NodeId) -> &NodeSlot {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn add_node(&mut self, name: String) -> NodeId {
        self.nodes.push(NodeSlot::new(name));
        NodeId(self.nodes.len() as u32 - 1)
    }

    pub(crate) fn set_clock(&mut self, id: NodeId, wall_offset: i64, drift_ppm: i64) {
        let now = self.now;
        self.nodes[id.0 as usize].clock.set(now, wall_offset, drift_ppm);
    }

    pub(crate) fn set_stalls(&mut self, id: NodeId, stalls: Option<Stalls>) {
        self.nodes[id.0 as usize].stalls = stalls;
    }

    /// The node's threads never run again. One that does not stand clean goes on until it does.
    ///
    /// So does one that was woken, by whomever, and has not waited since; and one that waits for a wake can still be
    /// woken. For the lock may be one that all nodes share, such as those inside of the standard library and of
    /// `parking_lot`: a wake that went to the dead would be lost to the living who wait for the same lock.
    pub(crate) fn crash(&mut self, id: NodeId) {
        self.thaw(id);
        self.nodes[id.0 as usize].crashed = true;
        for thread in self.threads_of(id) {
            let slot = self.thread(thread);
            let stands = match slot.state {
                State::Runnable => slot.clean && !slot.woken && self.runnable.contains(&thread),
                State::Waiting(waiting) => slot.clean && !waiting.is_for_a_wake(),
                State::Held | State::Finished | State::Crashed => false,
            };
            if stands {
                self.unlink(thread);
                self.runnable.retain(|other| *other != thread);
                self.slot(thread).state = State::Crashed;
            }
        }
    }

    /// Stops every thread but the running one for good, wherever it stands.
    pub(crate) fn stop_all_but(&mut self, me: ThreadId) {
        for (id, slot) in (0..).map(ThreadId).zip(&mut self.threads) {
            if id != me && slot.state != State::Finished {
                slot.state = State::Crashed;
            }
        }
        self.runnable.clear();
        self.timers.clear();
        self.futexes.clear();
    }

    /// The node's threads do not run until [`thaw`](Self::thaw); time goes on for them.
    pub(crate) fn freeze(&mut self, id: NodeId) {
        self.nodes[id.0 as usize].frozen = true;
        for thread in self.threads_of(id) {
            if self.thread(thread).clean && self.runnable.contains(&thread) {
                self.runnable.retain(|other| *other != thread);
                self.slot(thread).state = State::Held;
            }
        }
    }

    pub(crate) fn thaw(&mut self, id: NodeId) {
        if mem::take(&mut self.nodes[id.0 as usize].frozen) {
            for thread in self.threads_of(id) {
                if self.thread(thread).state == State::Held {
                    self.enqueue(thread);
                }
            }
        }
    }

    /// Counts the thread to another node; which one it belonged to.
    pub(crate) fn move_to(&mut self, id: ThreadId, node: NodeId) -> NodeId {
        mem::replace(&mut self.slot(id).node, node)
    }

    /// Whether the running thread's node wants it stopped at the next place where it stands clean.
    pub(crate) fn stop_wanted(&self, me: ThreadId) -> bool {
        let node = self.node(self.thread(me).node);
        node.crashed || node.frozen
    }

    /// Whether a crash has stopped the thread, unless one that waits for a wake gets it from the living.
    pub(crate) fn is_stopped(&self, id: ThreadId) -> bool {
        let slot = self.thread(id);
        match slot.state {
            State::Crashed => true,
            State::Waiting(waiting) => slot.clean && waiting.is_for_a_wake() && self.node(slot.node).crashed,
            _ => false,
        }
    }

    /// Threads that have waited for a futex, without a deadline, for at least `patience`. Each wait is named once.
    pub(crate) fn suspects(&mut self, patience: Nanos) -> Vec<ThreadId> {
        if self.now < self.suspect_at {
            return Vec::new();
        }
        self.suspect_at = self.now.saturating_add(patience / 2).max(patience);
        self.suspects_now(patience)
    }

    /// As [`suspects`](Self::suspects), without regard to when it was asked last.
    pub(crate) fn suspects_now(&mut self, patience: Nanos) -> Vec<ThreadId> {
        let (now, mut suspects) = (self.now, Vec::new());
        for id in (0..self.threads.len() as u32).map(ThreadId) {
            let slot = self.thread(id);
            let endless = matches!(slot.state, State::Waiting(waiting) if waiting.is_for_a_wake());
            let long = slot.examined != slot.generation && now - slot.since >= patience;
            if endless && long && !self.is_stopped(id) {
                self.slot(id).examined = self.thread(id).generation;
                suspects.push(id);
            }
        }
        suspects
    }

    /// Whether the thread has a stack to show, and a reason to: it has run and might run again.
    pub(crate) fn shows_stack(&self, id: ThreadId) -> bool {
        let slot = self.thread(id);
        slot.started && slot.state != State::Finished && !self.is_stopped(id)
    }

    fn threads_of(&self, node: NodeId) -> Vec<ThreadId> {
        let ids = (0..self.threads.len() as u32).map(ThreadId);
        ids.filter(|id| self.thread(*id).node == node).collect()
    }
}

/// A hash of addresses that is the same in every process, as `RandomState` is not.
#[derive(Clone, Debug, Default)]
struct AddressHash;

impl BuildHasher for AddressHash {
    type Hasher = AddressHasher;

    fn build_hasher(&self) -> AddressHasher {
        AddressHasher(0)
    }
}

struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        self.0 = (self.0 ^ address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(threads: usize) -> (Scheduler, Vec<ThreadId>) {
        let calm = Schedule::Uniform { alloc_one_in: 0, sync_one_in: 0 };
        let mut scheduler = Scheduler::new(1, &calm, 100, false);
        let ids = (0..threads).map(|_| scheduler.spawn(OUTSIDE)).collect();
        (scheduler, ids)
    }

    fn sleep_until(deadline: Nanos) -> Waiting {
        Waiting { deadline: Some(deadline), ..Waiting::default() }
    }

    fn on(address: usize) -> Waiting {
        Waiting { futex: Some((address, !0)), ..Waiting::default() }
    }

    /// Runs every thread once, letting each wait as given.
    fn park(scheduler: &mut Scheduler, waiting: impl Fn(ThreadId) -> Waiting, threads: usize) {
        for _ in 0..threads {
            let id = scheduler.next().expect("a runnable thread");
            scheduler.block(id, waiting(id), true);
        }
    }

    #[test]
    fn the_clock_jumps_to_the_next_timer_and_timers_fire_in_order() {
        let (mut s, _) = scheduler(3);
        park(&mut s, |id| sleep_until(100 - u64::from(id.0)), 3);
        for (id, now) in [(2, 98), (1, 99), (0, 100)] {
            assert_eq!(s.next(), Ok(ThreadId(id)));
            assert_eq!(s.now(), now);
            assert!(s.timed_out(ThreadId(id)));
            s.block(ThreadId(id), on(8), true);
        }
        assert_eq!(s.next(), Err(Stop::Deadlock));
    }

    #[test]
    fn a_wake_reaches_waiters_of_its_address_and_mask_and_leaves_no_timer_behind() {
        let (mut s, _) = scheduler(3);
        let waits = [
            Waiting { futex: Some((8, 1)), deadline: Some(50), ..Waiting::default() },
            Waiting { futex: Some((8, 2)), ..Waiting::default() },
            Waiting { futex: Some((16, !0)), ..Waiting::default() },
        ];
        park(&mut s, |id| waits[id.0 as usize], 3);
        assert_eq!(s.wake_futex(8, 1, 10), 1);
        assert_eq!(s.next(), Ok(ThreadId(0)));
        assert!(!s.timed_out(ThreadId(0)));
        s.block(ThreadId(0), sleep_until(70), true);
        assert_eq!(s.next(), Ok(ThreadId(0)));
        assert_eq!(s.now(), 70, "the timer of the wait that was woken is stale");
        assert_eq!(s.wake_futex(8, !0, 10), 1);
        assert_eq!(s.wake_futex(16, !0, 0), 0);
        assert_eq!(s.wake_futex(16, !0, 10), 1);
    }

    #[test]
    fn joiners_wake_when_the_thread_finishes() {
        let (mut s, _) = scheduler(1);
        assert_eq!(s.next(), Ok(ThreadId(0)));
        let child = s.spawn(OUTSIDE);
        s.block(ThreadId(0), Waiting { join: Some(child), ..Waiting::default() }, true);
        assert_eq!(s.next(), Ok(child));
        s.finish(child);
        assert_eq!(s.next(), Ok(ThreadId(0)));
    }

    #[test]
    fn yielding_for_ever_is_a_livelock_but_sleeping_and_being_preempted_are_not() {
        let (mut s, _) = scheduler(2);
        let mut ran = 0;
        while let Ok(id) = s.next() {
            ran += 1;
            s.charge(1);
            s.yield_now(id, true);
        }
        assert_eq!((ran, s.now()), (100, 100));
        let (mut s, _) = scheduler(2);
        for _ in 0..10_000 {
            let id = s.next().expect("time passes");
            let now = s.now();
            s.block(id, sleep_until(now + 1), true);
        }
        let (mut s, _) = scheduler(2);
        for _ in 0..10_000 {
            let id = s.next().expect("a preempted thread does work");
            s.preempt(id, false);
        }
    }

    #[test]
    fn a_thread_that_stalls_loses_its_processor_but_no_wake() {
        let (mut s, _) = scheduler(0);
        let node = s.add_node("n".into());
        let id = s.spawn(node);
        park(&mut s, |_| on(8), 1);
        s.set_stalls(node, Some(Stalls { one_in: 1, max: 1_000 }));
        assert_eq!(s.wake_futex(8, !0, 1), 1);
        assert_eq!(s.next(), Ok(id));
        s.preempt(id, false);
        assert!(matches!(s.thread(id).state, State::Waiting(_)));
        assert_eq!(s.next(), Ok(id));
        assert!((1..=1_000).contains(&s.now()));
        s.preempt(id, true);
        s.crash(node);
        assert_eq!(s.next(), Ok(id), "it can still hand its wake on");
        s.preempt(id, false);
        assert_eq!(s.next(), Ok(id), "a crash stops nobody who is stalled and does not stand clean");
        s.block(id, sleep_until(5_000), true);
        assert_eq!(s.next(), Err(Stop::Deadlock));
    }

    #[test]
    fn only_long_and_endless_waits_are_suspect_and_only_once() {
        let (mut s, _) = scheduler(3);
        let waits = [on(8), sleep_until(1_000), Waiting { deadline: Some(2_000), ..on(16) }];
        park(&mut s, |id| waits[id.0 as usize], 3);
        assert_eq!(s.suspects(100), []);
        assert_eq!(s.next(), Ok(ThreadId(1)));
        assert_eq!(s.suspects(1_001), []);
        s.block(ThreadId(1), sleep_until(1_500), true);
        assert_eq!(s.next(), Ok(ThreadId(1)));
        assert_eq!(s.suspects(1_001), [ThreadId(0)]);
        s.block(ThreadId(1), sleep_until(9_000), true);
        assert_eq!(s.next(), Ok(ThreadId(2)));
        s.block(ThreadId(2), on(16), true);
        assert_eq!(s.next(), Ok(ThreadId(1)));
        assert_eq!(s.suspects(1_001), [ThreadId(2)]);
    }

    #[test]
    fn a_crash_stops_clean_threads_at_once_and_others_when_they_stand_clean() {
        let (mut s, _) = scheduler(0);
        let node = s.add_node("n".into());
        let [waits, shielded, can_run] = [(); 3].map(|()| s.spawn(node));
        for _ in 0..2 {
            let id = next_of(&mut s, &[waits, shielded]);
            s.block(id, sleep_until(10), id != shielded);
        }
        s.crash(node);
        assert_eq!(s.thread(waits).state, State::Crashed);
        assert_eq!(s.thread(can_run).state, State::Crashed);
        assert_eq!(s.next(), Ok(shielded), "it goes on to where it stands clean");
        s.block(shielded, sleep_until(20), true);
        assert_eq!(s.thread(shielded).state, State::Crashed);
        let late = s.spawn(node);
        assert_eq!(s.thread(late).state, State::Crashed);
        assert_eq!(s.next(), Err(Stop::Deadlock));
    }

    #[test]
    fn a_crash_spares_who_was_woken_until_it_waits_again() {
        let (mut s, _) = scheduler(0);
        let node = s.add_node("n".into());
        let ids = [(); 3].map(|()| s.spawn(node));
        park(&mut s, |_| on(8), 3);
        assert_eq!(s.wake_futex(8, !0, 1), 1);
        s.crash(node);
        let woken = s.next().expect("the one that was woken");
        assert_eq!(ids.iter().filter(|id| s.is_stopped(**id)).count(), 2);
        assert_eq!(s.wake_futex(8, !0, 1), 1, "it can hand the wake on");
        s.block(woken, sleep_until(50), true);
        assert_eq!(s.thread(woken).state, State::Crashed);
        let next = s.next().expect("the one it woke");
        s.block(next, on(16), true);
        assert_eq!(s.next(), Err(Stop::Deadlock));
        assert!(ids.iter().all(|id| s.is_stopped(*id) && !s.shows_stack(*id)));
    }

    /// Lets others yield until one of `wanted` is to run.
    fn next_of(s: &mut Scheduler, wanted: &[ThreadId]) -> ThreadId {
        loop {
            let id = s.next().expect("a runnable thread");
            if wanted.contains(&id) {
                return id;
            }
            s.yield_now(id, true);
        }
    }

    #[test]
    fn a_frozen_node_is_held_and_goes_on_when_thawed() {
        let (mut s, _) = scheduler(1);
        let node = s.add_node("n".into());
        let frozen = s.spawn(node);
        s.freeze(node);
        assert_eq!(s.thread(frozen).state, State::Held);
        let late = s.spawn(node);
        assert_eq!(s.thread(late).state, State::Held);
        assert_eq!(s.next(), Ok(ThreadId(0)));
        s.block(ThreadId(0), on(8), true);
        assert_eq!(s.next(), Err(Stop::Deadlock));
        s.thaw(node);
        assert!(s.next().is_ok() && s.next().is_ok());
    }
}
