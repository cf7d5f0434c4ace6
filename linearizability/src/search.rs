//! General search: any model, exponential at worst.
//!
//! The classical search (Wing and Gong; Lowe's memoisation) asks which operation comes first, tries each
//! candidate, and remembers the configurations it has seen. This one keeps its order but goes by *returns*: the
//! only moments that force anything are those at which an operation returns and must have taken effect. A
//! configuration is
//!
//! - the next return that is to be satisfied; everything that returned earlier is linearized,
//! - which of the operations in flight at that moment are linearized already (a bit per *slot*; an operation
//!   takes a free slot at its call and gives it back at its return, so there are as many bits as clients),
//! - which of the operations that never return are linearized,
//! - the state, interned to a number.
//!
//! So a configuration has a few words however long the history is, and at a quiescent point (nothing in flight)
//! it is the state alone: all ways through the past that lead to one state are one configuration there.
//!
//! What keeps the number of configurations down, each without losing a linearization:
//!
//! - *Lazy*: an operation is linearized before its return only if that helps another one to return.
//! - *Readers first*: an operation that can never change the state goes first, without an alternative, as soon
//!   as its answer fits. (It is not enough that it changes nothing *now*: a write of the present value may be
//!   needed later.)
//! - *No idle effects*: a pending operation is not linearized where it would change nothing.
//! - *Twins*: of two operations with equal input and output, the one called and returned no later goes first.
//! - *Fewer pending are better*: a configuration is dropped if one was seen that differs only in having used a
//!   subset of the pending operations. What it could do, that one can.

use std::hash::Hash;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::bits::Bits;
use crate::history::Interval;
use crate::procedure::Slice;
use crate::timeline::{Place, Timeline};

/// A sequential object whose operations are numbered: what the search needs of a model. Operations are numbered
/// by call.
pub(crate) trait Machine: Send {
    type State: Clone + Eq + Hash + Send;

    fn initial(&self) -> Self::State;

    /// See [`Model::step`](crate::Model::step).
    fn step(&self, state: Self::State, op: usize, next: &mut Vec<Self::State>);

    /// See [`Model::is_read`](crate::Model::is_read).
    fn is_read(&self, op: usize) -> bool;
}

/// How a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Operations in an order that is a linearization.
    Order(Vec<u32>),
    /// There is none.
    Stuck(Stuck),
    /// The slice ran out.
    Undecided,
}

/// The farthest a search got that found no linearization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// A right order up to the dead end.
    pub(crate) partial: Vec<u32>,
    /// The operation that returned next and cannot be linearized.
    pub(crate) at: u32,
}

/// What two configurations must share for one to stand for the other, apart from the pending operations used.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    next_return: u32,
    state: u32,
    done: Bits,
}

/// A configuration: where the search is.
#[derive(Clone)]
struct Config {
    /// Index into the returns of the one to be satisfied next.
    next_return: u32,
    /// Which slots' operations are linearized.
    done: Bits,
    /// Which pending operations are.
    pending: Bits,
    state: u32,
}

/// A configuration on the path being explored, with the ways on that are left to try.
struct Frame {
    config: Config,
    /// How many operations were linearized before this configuration.
    order_len: usize,
    /// Operation and state after it; the next to try is last.
    choices: Vec<(u32, u32)>,
}

/// What became of a configuration.
enum Explored {
    /// Every return is satisfied.
    Complete,
    /// New, with ways on, and on the stack now.
    Pushed,
    /// Known already, or without a way on.
    DeadEnd,
}

/// A depth-first search that can be interrupted.
pub(crate) struct Search<M: Machine> {
    machine: M,
    timeline: Timeline,
    states: States<M::State>,
    /// The configurations seen, each with the smallest sets of pending operations it was seen with.
    seen: FxHashMap<Key, SmallVec<[Bits; 1]>>,
    stack: Vec<Frame>,
    started: bool,
    /// The operations linearized on the way to the top of the stack.
    order: Vec<u32>,
    farthest: Stuck,
    farthest_return: Option<u32>,
    /// Kept between calls for its memory only.
    successors: Vec<M::State>,
}

impl<M: Machine> Search<M> {
    /// A search over operations with these intervals, in the order of the calls. `twins` gives operations of
    /// equal input and output the same number, below the number of operations.
    pub(crate) fn new(machine: M, intervals: &[Interval], twins: Vec<u32>) -> Self {
        Search {
            machine,
            timeline: Timeline::new(intervals, twins),
            states: States::default(),
            seen: FxHashMap::default(),
            stack: Vec::new(),
            started: false,
            order: Vec::new(),
            farthest: Stuck::default(),
            farthest_return: None,
            successors: Vec::new(),
        }
    }

    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    /// Goes on until decided or the slice runs out. Not to be called again once decided.
    pub(crate) fn run(&mut self, slice: &mut Slice) -> Outcome {
        if !self.started {
            if !slice.take() {
                return Outcome::Undecided;
            }
            self.started = true;
            let state = self.states.intern(self.machine.initial());
            let root = Config { next_return: 0, done: Bits::default(), pending: Bits::default(), state };
            if let Explored::Complete = self.explore(root, 0) {
                return Outcome::Order(std::mem::take(&mut self.order));
            }
        }
        while let Some(frame) = self.stack.last_mut() {
            if frame.choices.is_empty() {
                self.order.truncate(frame.order_len);
                self.stack.pop();
                continue;
            }
            if !slice.take() {
                return Outcome::Undecided;
            }
            let (op, state) = frame.choices.pop().expect("checked above");
            let mut config = Config { state, ..frame.config.clone() };
            self.timeline.seek(config.next_return);
            match self.timeline.place(op) {
                Place::Slot(slot) => config.done.insert(slot),
                Place::Pending(index) => config.pending.insert(index),
            }
            let order_len = self.order.len();
            self.order.push(op);
            match self.explore(config, order_len) {
                Explored::Complete => return Outcome::Order(std::mem::take(&mut self.order)),
                Explored::Pushed => {}
                Explored::DeadEnd => self.order.truncate(order_len),
            }
        }
        Outcome::Stuck(std::mem::take(&mut self.farthest))
    }

    /// Lets readers go first and operations return as far as that goes. Then, if that leads to a new
    /// configuration with ways on, pushes it.
    fn explore(&mut self, mut config: Config, order_len: usize) -> Explored {
        // What each operation in flight would do, asked once: the state stays the same throughout.
        let mut effects: Vec<(u32, u32)> = Vec::new();
        let mut unasked: Vec<u32> = self.timeline.in_flight(&config.done).collect();
        loop {
            for op in unasked.drain(..) {
                let from = effects.len();
                self.step(config.state, op, &mut effects);
                if effects.len() > from && self.machine.is_read(op as usize) {
                    effects.truncate(from);
                    config.done.insert(self.timeline.slot(op));
                    self.order.push(op);
                }
            }
            while let Some(returning) = self.timeline.returning() {
                if !config.done.remove(self.timeline.slot(returning)) {
                    break;
                }
                config.next_return += 1;
                self.timeline.advance(&mut unasked);
            }
            if unasked.is_empty() {
                break;
            }
        }
        let Some(returning) = self.timeline.returning() else { return Explored::Complete };
        let mut choices = Vec::new();
        if self.is_new(&config) {
            self.timeline.drop_later_twins(&mut effects);
            choices = effects;
            self.add_pending(&config, &mut choices);
        }
        if choices.is_empty() {
            if self.farthest_return.is_none_or(|r| r < config.next_return) {
                self.farthest_return = Some(config.next_return);
                self.farthest = Stuck { partial: self.order.clone(), at: returning };
            }
            return Explored::DeadEnd;
        }
        choices.reverse();
        self.stack.push(Frame { config, order_len, choices });
        Explored::Pushed
    }

    /// Appends what `op` may do in `state`.
    fn step(&mut self, state: u32, op: u32, effects: &mut Vec<(u32, u32)>) {
        self.machine.step(self.states.get(state).clone(), op as usize, &mut self.successors);
        effects.extend(self.successors.drain(..).map(|after| (op, self.states.intern(after))));
    }

    /// Appends what pending operations may do: the first of each kind of twins, if it changes the state.
    fn add_pending(&mut self, config: &Config, choices: &mut Vec<(u32, u32)>) {
        for op in self.timeline.pending(&config.pending) {
            if self.machine.is_read(op as usize) {
                continue;
            }
            let from = choices.len();
            self.step(config.state, op, choices);
            let mut kept = from;
            for i in from..choices.len() {
                if choices[i].1 != config.state {
                    choices[kept] = choices[i];
                    kept += 1;
                }
            }
            choices.truncate(kept);
        }
    }

    /// Whether no configuration was seen that can stand for this one; remembers it if so.
    fn is_new(&mut self, config: &Config) -> bool {
        let key = Key { next_return: config.next_return, state: config.state, done: config.done.clone() };
        let sets = self.seen.entry(key).or_default();
        if sets.iter().any(|set| set.is_subset(&config.pending)) {
            return false;
        }
        sets.retain(|set| !config.pending.is_subset(set));
        sets.push(config.pending.clone());
        true
    }
}

/// Every state met, by number.
struct States<S> {
    numbers: FxHashMap<S, u32>,
    states: Vec<S>,
}

impl<S> Default for States<S> {
    fn default() -> Self {
        States { numbers: FxHashMap::default(), states: Vec::new() }
    }
}

impl<S: Clone + Eq + Hash> States<S> {
    fn intern(&mut self, state: S) -> u32 {
        if let Some(&number) = self.numbers.get(&state) {
            return number;
        }
        let number = u32::try_from(self.states.len()).expect("memory ends before 2^32 states");
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }

    fn get(&self, number: u32) -> &S {
        &self.states[number as usize]
    }
}
