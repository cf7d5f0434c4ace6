//! Step 5: the few operations that show the violation.
//!
//! A *core* is a set of operations that is wrong even if every other get is forgotten and every other write may
//! have happened at any time, or never. It needs no trust in the rest of the history.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::history::{Interval, NEVER};
use crate::shrink::{Trial, shrink};

use super::blocks::decode as decode_blocks;
use super::tokens::{Match, Tokens};
use super::{Exact, Flaw, INITIAL, Kind, Op, decide, observed};

/// Operations by index, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Core {
    pub(super) ops: Vec<usize>,
    /// Whether none of them can be spared.
    pub(super) is_minimal: bool,
    /// What is wrong with the core itself, if the exact method can tell. (What is wrong with the whole history
    /// may be something else, found first.)
    pub(super) flaw: Option<Flaw>,
}

/// All trials together may look at so many operations; the verdict stands before any of them.
const WORK: usize = 3_000_000;
/// Of a long value, so many bytes are as much work as an operation.
const BYTES: usize = 64;
/// What one trial may search where the exact method does not apply, in configurations.
const TRIAL: u64 = 2_000;
/// What one trial may do where texts were written more than once. There are thousands of trials, and most of a
/// long history are as hard as the verdict itself was.
const REPEATS: usize = 50_000;
/// Sets of so many suspects are searched for the smallest core; larger ones are only shrunk.
const MAX_SUSPECTS: usize = 14;
const SMALL: usize = 4;

/// The core behind a flaw.
pub(super) fn find(ops: &[Op<'_>], flaw: &Flaw) -> Core {
    let tokens = Tokens::new(ops);
    let mut suspects: BTreeSet<usize> =
        involved(ops, &tokens, flaw).into_iter().map(|op| op as usize).collect();
    let mut trials = Trials { ops, tokens: &tokens, named: FxHashMap::default(), work: 0 };
    if suspects.len() <= MAX_SUSPECTS {
        let list: Vec<usize> = suspects.iter().copied().collect();
        if let Some(core) = trials.smallest(&list) {
            return core;
        }
    }
    if trials.run(&suspects.iter().copied().collect::<Vec<_>>()) != Trial::Holds {
        suspects = (0..ops.len()).filter(|&op| ops[op].kind != Kind::Nothing).collect();
    }
    trials.shrink(suspects.into_iter().collect())
}

/// The core behind a dead end of the search at this operation.
pub(super) fn find_stuck(ops: &[Op<'_>], at: u32) -> Core {
    let tokens = Tokens::new(ops);
    let until = ops[at as usize].at.ret;
    // First without what was called after it; with it if that made the others free to help.
    let earlier: Vec<usize> =
        (0..ops.len()).filter(|&op| ops[op].kind != Kind::Nothing && ops[op].at.call < until).collect();
    let mut trials = Trials { ops, tokens: &tokens, named: FxHashMap::default(), work: 0 };
    let suspects = match trials.run(&earlier) {
        Trial::Holds => earlier,
        _ => (0..ops.len()).filter(|&op| ops[op].kind != Kind::Nothing).collect(),
    };
    trials.shrink(suspects)
}

struct Trials<'s, 'a> {
    ops: &'s [Op<'a>],
    tokens: &'s Tokens<'a>,
    /// By read: the writes its value may be made of.
    named: FxHashMap<usize, Vec<usize>>,
    work: usize,
}

impl<'a> Trials<'_, 'a> {
    /// The smallest core among all sets of a few suspects.
    fn smallest(&mut self, suspects: &[usize]) -> Option<Core> {
        let mut in_doubt = false;
        for size in 1..=SMALL.min(suspects.len()) {
            // All sets of this size, as bit masks.
            for mask in (0u32..1 << suspects.len()).filter(|mask| mask.count_ones() as usize == size) {
                let core: Vec<usize> =
                    (0..suspects.len()).filter(|i| mask >> i & 1 == 1).map(|i| suspects[i]).collect();
                match self.run(&core) {
                    Trial::Holds => return Some(self.core(core, !in_doubt)),
                    Trial::Lost => {}
                    Trial::Unknown => in_doubt = true,
                    Trial::GiveUp => return None,
                }
            }
        }
        None
    }

    fn shrink(&mut self, suspects: Vec<usize>) -> Core {
        let (ops, is_minimal) = shrink(suspects, |core| self.run(core));
        self.core(ops, is_minimal)
    }

    fn core(&mut self, ops: Vec<usize>, is_minimal: bool) -> Core {
        let (names, relaxed): (Vec<u32>, Vec<Op<'_>>) = self.relaxed(&ops).into_iter().unzip();
        let flaw = match decide(&relaxed, REPEATS) {
            Exact::Flaw(flaw) => Some(flaw.rename(|op| names[op as usize])),
            _ => None,
        };
        Core { ops, is_minimal, flaw }
    }

    /// Whether the core is wrong whatever the others did.
    fn run(&mut self, core: &[usize]) -> Trial {
        let ops: Vec<Op<'_>> = self.relaxed(core).into_iter().map(|(_, op)| op).collect();
        self.work += ops.iter().map(|op| 1 + op.text.len() / BYTES).sum::<usize>();
        if self.work > WORK {
            return Trial::GiveUp;
        }
        match decide(&ops, REPEATS) {
            Exact::Flaw(_) => Trial::Holds,
            Exact::Order(_) => Trial::Lost,
            Exact::Ambiguous => match observed::is_linearizable(&ops, TRIAL) {
                Some(true) => Trial::Lost,
                Some(false) => Trial::Holds,
                None => Trial::Unknown,
            },
        }
    }

    /// The core, by call, behind the other writes that matter, which are free: with their indices.
    fn relaxed(&mut self, core: &[usize]) -> Vec<(u32, Op<'a>)> {
        // Of the others only the writes matter that a read of the core names.
        let mut others = BTreeSet::new();
        for &op in core.iter().filter(|&&op| self.ops[op].kind == Kind::Get) {
            others.extend(self.named_in(op));
        }
        let kept: FxHashSet<usize> = core.iter().copied().collect();
        let free = others.into_iter().filter(|other| !kept.contains(other));
        let free = free.map(|op| (op as u32, Op { at: Interval { call: 0, ret: NEVER }, ..self.ops[op] }));
        free.chain(core.iter().map(|&op| (op as u32, self.ops[op]))).collect()
    }

    /// Every write whose text occurs in the value of a read, at any offset: tokens may be read in several ways.
    fn named_in(&mut self, read: usize) -> &[usize] {
        self.named.entry(read).or_insert_with(|| {
            let value = self.ops[read].text;
            let (puts, appends) = (&self.tokens.puts, &self.tokens.appends);
            let starts = puts.lengths().filter_map(|len| value.get(..len)).flat_map(|text| puts.of(text));
            let mut named: BTreeSet<usize> = starts.map(|op| op as usize).collect();
            for offset in 0..value.len() {
                self.work += 1;
                let texts = appends.lengths().filter_map(|len| value[offset..].get(..len));
                named.extend(texts.flat_map(|text| appends.of(text)).map(|op| op as usize));
            }
            named.into_iter().collect()
        })
    }
}

/// The operations that may have a part in a flaw.
fn involved(ops: &[Op<'_>], tokens: &Tokens<'_>, flaw: &Flaw) -> Vec<u32> {
    let mut found: Vec<u32> = match *flaw {
        Flaw::Answered(op) => vec![op],
        Flaw::Unwritten { read, .. } => vec![read],
        Flaw::Twice { read, write } => vec![read, write],
        Flaw::Fork { reads } => reads.to_vec(),
        Flaw::TwoBases { reads, write } => vec![reads[0], reads[1], write],
        Flaw::Chain { first, second } => vec![first, second],
        Flaw::Inside { span, intruder, bases, .. } => [span, intruder, bases].concat(),
        Flaw::NoBase { read } => {
            let at = ops[read as usize].at;
            // The put that was called last among those before the read, and the bases it may have seen.
            let before = (0..ops.len() as u32)
                .filter(|&op| ops[op as usize].kind == Kind::Put && ops[op as usize].at.ret < at.call);
            let mut found: Vec<u32> = before.max_by_key(|&op| ops[op as usize].at.call).into_iter().collect();
            found.push(read);
            if let Match::One(len, _) = tokens.puts.at_start_of(ops[read as usize].text) {
                found.extend(tokens.puts.of(&ops[read as usize].text[..len]).take(MAX_SUSPECTS - 2));
            } else {
                found.extend(tokens.puts.of(b"").take(MAX_SUSPECTS - 2));
            }
            found
        }
        Flaw::NoWrite { read, offset } => {
            let mut found = vec![read];
            if let Match::One(len, _) = tokens.appends.at_start_of(&ops[read as usize].text[offset..]) {
                found.extend(
                    tokens.appends.of(&ops[read as usize].text[offset..offset + len]).take(MAX_SUSPECTS),
                );
            }
            found
        }
    };
    found.retain(|&op| op != INITIAL);
    // A read that saw each of the writes: of those with the least else in it the first, and the first of all.
    if let Ok(blocks) = decode_blocks(ops, tokens) {
        let writes: FxHashSet<u32> =
            found.iter().copied().filter(|&op| ops[op as usize].is_write()).collect();
        for block in &blocks {
            for (at, layer) in
                block.layers.iter().enumerate().filter(|(_, layer)| writes.contains(&layer.write))
            {
                found.push(layer.seen_by);
                found
                    .extend(block.reads.iter().filter(|read| read.0 as usize >= at).min().map(|read| read.1));
            }
        }
        // And what the reads are based on.
        let reads: FxHashSet<u32> = found.iter().copied().collect();
        for block in blocks.iter().filter(|block| block.layers[0].write != INITIAL) {
            if block.reads.iter().any(|(_, read)| reads.contains(read)) {
                found.push(block.layers[0].write);
            }
        }
    }
    found
}
