//! Deciding put/append/get histories of one key exactly, in near-linear time, wherever written texts can be
//! told apart.
//!
//! Search is exponential in the number of clients that contend for a key. But a value read from a store says
//! how it came about: a *base* (a put, or the initial value) and behind it a chain of appends. If every written
//! text, a *token*, belongs to one write, each read names its writes, and they must have happened in a row:
//! nothing else can lie between a base and the last read of its value. That generalises Gibbons and Korach's
//! zones for registers (*Testing Shared Memories*, 1997) from "a write and its reads" to "a put, the appends
//! seen on it, and the reads": a *block*.
//!
//! 1. [`blocks`]: decode every value into base and appends, one block per base.
//! 2. [`zones`]: inside a block, the order is given; it must respect real time. Between blocks, a block whose
//!    first return lies before its last call covers that span alone (a forward zone); the others (backward
//!    zones) must fit beside those. Yields an order, or two operations that contradict each other.
//! 3. [`repeats`]: where a token was written more than once, find out by real time which write a read saw; try
//!    the few possibilities that remain.
//! 4. Where that is not enough (too many possibilities; tokens that can be read in two ways), the general
//!    search over [`observed`] values.
//! 5. [`core`], [`explain`]: a violation becomes a handful of operations and a sentence.
//!
//! **Why it is exact.** Necessary: a block needs a moment no later than its first return F and one no earlier
//! than its last call S. If F < S it owns everything between; two such spans cannot overlap, and nothing can
//! happen strictly inside. Sufficient: put each operation x of a block at max(F, latest call before x in the
//! block); by step 2 that is before x returns, and it is not after S. The order that comes out is replayed all
//! the same before anybody sees it.

mod blocks;
mod core;
mod explain;
mod observed;
mod repeats;
mod tokens;
mod zones;

use crate::history::Interval;
use crate::models::KvInput;
use crate::part::Part;
use crate::procedure::{Procedure, Progress, Slice};
use crate::search::{Outcome, Search};
use crate::text::Text;
use crate::verdict::Violation;

use self::blocks::decode;
use self::observed::Observed;
use self::tokens::Tokens;

/// One operation on one key, as the method sees it.
#[derive(Debug, Clone, Copy)]
struct Op<'a> {
    kind: Kind,
    at: Interval,
    /// What was written, or what was read.
    text: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// A get that returned.
    Get,
    Put,
    /// An append of at least one byte.
    Append,
    /// Neither changed anything nor saw anything: an append of nothing, a get that never returned.
    Nothing,
}

impl Op<'_> {
    fn is_write(&self) -> bool {
        matches!(self.kind, Kind::Put | Kind::Append)
    }

    fn returned(&self) -> bool {
        self.at.ret != crate::history::NEVER
    }
}

/// Stands for the initial value where a write is asked for.
const INITIAL: u32 = u32::MAX;

/// Two or three operations that contradict each other, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Flaw {
    /// A write answered something.
    Answered(u32),
    /// A value has something at this offset that nobody appended there.
    Unwritten { read: u32, offset: usize },
    /// A value contains an append twice.
    Twice { read: u32, write: u32 },
    /// Two values of one base, neither a prefix of the other.
    Fork { reads: [u32; 2] },
    /// Two values contain the same append after different bases.
    TwoBases { reads: [u32; 2], write: u32 },
    /// Every write this value can start with was overwritten before the read was called, or called after it
    /// returned.
    NoBase { read: u32 },
    /// The values say that `first` happened before `second`, but `second` returned before `first` was called.
    Chain { first: u32, second: u32 },
    /// Something happened inside a span that belongs to another value. The span goes from the return of the
    /// first to the call of the second operation; so does the intruder's, unless `crossing`: then two spans
    /// overlap.
    Inside { span: [u32; 2], intruder: [u32; 2], bases: [u32; 2], crossing: bool },
    /// Of the writes with this read's repeated text none can be the one that was seen there.
    NoWrite { read: u32, offset: usize },
}

impl Flaw {
    /// The same flaw among operations that have other numbers.
    fn rename(self, name: impl Fn(u32) -> u32) -> Flaw {
        let name = |op| if op == INITIAL { INITIAL } else { name(op) };
        match self {
            Flaw::Answered(op) => Flaw::Answered(name(op)),
            Flaw::Unwritten { read, offset } => Flaw::Unwritten { read: name(read), offset },
            Flaw::Twice { read, write } => Flaw::Twice { read: name(read), write: name(write) },
            Flaw::Fork { reads } => Flaw::Fork { reads: reads.map(name) },
            Flaw::TwoBases { reads, write } => Flaw::TwoBases { reads: reads.map(name), write: name(write) },
            Flaw::NoBase { read } => Flaw::NoBase { read: name(read) },
            Flaw::Chain { first, second } => Flaw::Chain { first: name(first), second: name(second) },
            Flaw::Inside { span, intruder, bases, crossing } => Flaw::Inside {
                span: span.map(name),
                intruder: intruder.map(name),
                bases: bases.map(name),
                crossing,
            },
            Flaw::NoWrite { read, offset } => Flaw::NoWrite { read: name(read), offset },
        }
    }
}

/// What the method says.
#[derive(Debug)]
enum Exact {
    Order(Vec<u32>),
    Flaw(Flaw),
    /// The values do not say which writes they saw.
    Ambiguous,
}

/// Applies the method to the operations of one key. Up to `work` is done where texts were written more than once.
fn decide(ops: &[Op<'_>], work: usize) -> Exact {
    let tokens = Tokens::new(ops);
    match decode(ops, &tokens) {
        Err(blocks::Stop::Flaw(flaw)) => Exact::Flaw(flaw),
        Err(blocks::Stop::Ambiguous) => Exact::Ambiguous,
        Ok(mut blocks) => match repeats::decide(ops, &tokens, &mut blocks, work) {
            Exact::Order(order) => Exact::Order(zones::with_nothings(ops, order)),
            other => other,
        },
    }
}

/// The operations of a part, by the same indices.
fn prepare<'a>(part: &Part<'a, KvInput, Text>) -> Vec<Op<'a>> {
    let op = |index| {
        let op = part.operation(index);
        let (kind, text) = match (&op.input, op.output()) {
            (KvInput::Get { .. }, Some(value)) => (Kind::Get, value.as_bytes()),
            (KvInput::Get { .. }, None) => (Kind::Nothing, &[][..]),
            (KvInput::Put { value, .. }, _) => (Kind::Put, value.as_bytes()),
            (KvInput::Append { value, .. }, _) if value.is_empty() => (Kind::Nothing, &[][..]),
            (KvInput::Append { value, .. }, _) => (Kind::Append, value.as_bytes()),
        };
        Op { kind, at: part.interval(index), text }
    };
    (0..part.len()).map(op).collect()
}

/// Decides one key: by the exact method if it applies, else by search.
pub(crate) struct KvProcedure<'a> {
    part: Part<'a, KvInput, Text>,
    search: Option<Search<Observed<'a>>>,
}

impl<'a> KvProcedure<'a> {
    pub(crate) fn new(part: Part<'a, KvInput, Text>) -> Self {
        KvProcedure { part, search: None }
    }

    /// The violation a core shows; `otherwise` is what to say if that is more than the exact method can tell.
    fn violation(
        &self,
        ops: &[Op<'_>],
        core: core::Core,
        otherwise: impl FnOnce() -> (&'static str, String),
    ) -> Box<Violation> {
        let (title, sentence) = match &core.flaw {
            Some(flaw) => explain::sentence(&self.part, ops, flaw),
            None => otherwise(),
        };
        Box::new(Violation {
            partition: self.part.name().to_string(),
            title: title.to_string(),
            sentence,
            core: core.ops.into_iter().map(|op| self.part.id(op)).collect(),
            core_is_minimal: core.is_minimal,
            stuck: None,
            partial: Vec::new(),
            also: Vec::new(),
        })
    }
}

impl Procedure for KvProcedure<'_> {
    fn run(&mut self, slice: &mut Slice) -> Progress {
        let id = |op: u32| self.part.id(op as usize);
        if self.search.is_none() {
            let ops = prepare(&self.part);
            let answered = (0..ops.len()).find(|&i| {
                ops[i].kind != Kind::Get && self.part.operation(i).output().is_some_and(|o| !o.is_empty())
            });
            if let Some(op) = answered {
                let flaw = Some(Flaw::Answered(op as u32));
                let core = core::Core { ops: vec![op], is_minimal: true, flaw };
                return Progress::Violation(self.violation(&ops, core, || unreachable!("it has a flaw")));
            }
            match decide(&ops, repeats::WORK) {
                Exact::Order(order) => return Progress::Linearizable(order.into_iter().map(id).collect()),
                Exact::Flaw(flaw) => {
                    let core = core::find(&ops, &flaw);
                    let otherwise = || explain::sentence(&self.part, &ops, &flaw);
                    return Progress::Violation(self.violation(&ops, core, otherwise));
                }
                Exact::Ambiguous => self.search = Some(observed::search(&ops)),
            }
        }
        match self.search.as_mut().expect("just made").run(slice) {
            Outcome::Undecided => Progress::Undecided,
            Outcome::Order(order) => {
                let search = self.search.as_ref().expect("just used");
                Progress::Linearizable(search.machine().with_nothings(&order).into_iter().map(id).collect())
            }
            Outcome::Stuck(stuck) => {
                let ops = prepare(&self.part);
                let search = self.search.as_ref().expect("just used");
                let (at, partial) = search.machine().stuck(&stuck);
                let core = core::find_stuck(&ops, at);
                let mut violation = self.violation(&ops, core, || explain::stuck(&self.part, at));
                violation.stuck = Some(self.part.id(at as usize));
                violation.partial = partial.into_iter().map(id).collect();
                Progress::Violation(violation)
            }
        }
    }
}
