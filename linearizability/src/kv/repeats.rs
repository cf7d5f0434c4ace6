//! Step 3: texts that were written more than once.
//!
//! A value tells the text of each append in it, not the operation. Which of the operations with that text it
//! was is narrowed down by real time: it was called before anything that follows it in a value returned, it did
//! not return before something in front of it was called, and no put came certainly between it and a read that
//! still saw it. Where several possibilities remain, they are tried one after the other. The bases are settled
//! by then, so a block occurs once and each place in it stands for one operation: trying all injective maps is
//! complete.

use rustc_hash::FxHashSet;

use super::blocks::Block;
use super::tokens::Tokens;
use super::{Exact, Flaw, INITIAL, Kind, Op, zones};

/// How much is tried for a verdict, in layers and candidates looked at, before the general search is asked.
pub(super) const WORK: usize = 20_000_000;
/// How many open places may be left to trying.
const MAX_TRIED: usize = 64;

/// Decides blocks some of whose layers may stand for one of several operations, unless that takes more than
/// `work` (see [`WORK`]).
pub(super) fn decide(ops: &[Op<'_>], tokens: &Tokens<'_>, blocks: &mut [Block<'_>], work: usize) -> Exact {
    let mut matching = Matching {
        ops,
        tokens,
        puts: Vec::new(),
        used: FxHashSet::default(),
        work: 0,
        limit: work,
        flaw: None,
    };
    matching.puts = ops
        .iter()
        .filter(|op| op.kind == Kind::Put && op.returned())
        .map(|op| (op.at.ret, op.at.call))
        .collect();
    matching.puts.sort_unstable();
    let mut latest = 0;
    for (_, call) in &mut matching.puts {
        latest = latest.max(*call);
        *call = latest;
    }
    match matching.settle(blocks) {
        Found::Order(order) => Exact::Order(order),
        Found::TooMuch => Exact::Ambiguous,
        Found::None => Exact::Flaw(matching.flaw.expect("every dead end leaves one")),
    }
}

enum Found {
    Order(Vec<u32>),
    None,
    TooMuch,
}

struct Matching<'s, 'a> {
    ops: &'s [Op<'a>],
    tokens: &'s Tokens<'a>,
    /// Completed puts by return, each with the latest call among those so far.
    puts: Vec<(u32, u32)>,
    /// Operations that have a place.
    used: FxHashSet<u32>,
    work: usize,
    limit: usize,
    /// The first contradiction met.
    flaw: Option<Flaw>,
}

/// A place in a block whose operation is not known.
struct Open {
    block: usize,
    layer: usize,
    candidates: Vec<u32>,
}

impl Matching<'_, '_> {
    /// Settles what is certain, then tries the rest.
    fn settle(&mut self, blocks: &mut [Block<'_>]) -> Found {
        let mut settled = Vec::new();
        let found = match self.settle_certain(blocks, &mut settled) {
            Ok(None) => match zones::decide(self.ops, blocks) {
                Ok(order) => Found::Order(order),
                Err(flaw) => {
                    self.flaw.get_or_insert(flaw);
                    Found::None
                }
            },
            Ok(Some(open)) => self.try_each(blocks, open),
            Err(found) => found,
        };
        for (block, layer) in settled {
            let layer = &mut blocks[block].layers[layer];
            layer.is_repeated = true;
            self.used.remove(&layer.write);
        }
        found
    }

    fn try_each(&mut self, blocks: &mut [Block<'_>], open: Open) -> Found {
        for candidate in open.candidates {
            let layer = &mut blocks[open.block].layers[open.layer];
            (layer.write, layer.is_repeated) = (candidate, false);
            self.used.insert(candidate);
            let found = self.settle(blocks);
            self.used.remove(&candidate);
            // Whichever write stands there, its text is the same.
            blocks[open.block].layers[open.layer].is_repeated = true;
            if !matches!(found, Found::None) {
                return found;
            }
        }
        Found::None
    }

    /// Gives every place with one candidate its operation, until nothing changes. Returns an open place with
    /// the fewest candidates.
    fn settle_certain(
        &mut self,
        blocks: &mut [Block<'_>],
        settled: &mut Vec<(usize, usize)>,
    ) -> Result<Option<Open>, Found> {
        loop {
            let mut changed = false;
            let mut fewest: Option<Open> = None;
            let mut open = 0;
            for (number, block) in blocks.iter_mut().enumerate() {
                if !block.layers.iter().any(|layer| layer.is_repeated) {
                    continue;
                }
                let bounds = self.bounds(block);
                for (at, bound) in bounds.iter().enumerate() {
                    let layer = block.layers[at];
                    if !layer.is_repeated {
                        continue;
                    }
                    let candidates = self.candidates(layer.write, bound);
                    match candidates.as_slice() {
                        [] => {
                            let start = block.layers[at - 1].end;
                            self.flaw.get_or_insert(Flaw::NoWrite { read: layer.seen_by, offset: start });
                            return Err(Found::None);
                        }
                        [only] => {
                            let layer = &mut block.layers[at];
                            (layer.write, layer.is_repeated) = (*only, false);
                            self.used.insert(*only);
                            settled.push((number, at));
                            changed = true;
                        }
                        _ => {
                            open += 1;
                            if fewest.as_ref().is_none_or(|f| f.candidates.len() > candidates.len()) {
                                fewest = Some(Open { block: number, layer: at, candidates });
                            }
                        }
                    }
                }
            }
            if self.work > self.limit {
                return Err(Found::TooMuch);
            }
            if !changed {
                return if open > MAX_TRIED { Err(Found::TooMuch) } else { Ok(fewest) };
            }
        }
    }

    /// The operations with the text of `write` that may stand in a place with these bounds.
    fn candidates(&mut self, write: u32, bound: &Bound) -> Vec<u32> {
        let last_put = self.puts.partition_point(|&(ret, _)| ret < bound.last_read);
        let overwritten = last_put.checked_sub(1).map_or(0, |i| self.puts[i].1);
        let mut found = Vec::new();
        for candidate in self.tokens.appends.of(self.ops[write as usize].text) {
            self.work += 1;
            let at = self.ops[candidate as usize].at;
            if at.ret >= bound.not_before.max(overwritten)
                && at.call <= bound.not_after
                && !self.used.contains(&candidate)
            {
                found.push(candidate);
            }
        }
        found
    }

    /// What real time says about the write of each layer.
    fn bounds(&mut self, block: &Block<'_>) -> Vec<Bound> {
        let count = block.layers.len();
        self.work += count + block.reads.len();
        let mut bounds = vec![Bound { not_before: 0, not_after: u32::MAX, last_read: 0 }; count];
        // What each layer contributes: itself if known, and its reads.
        let mut calls = vec![0; count];
        let mut reads_return = vec![u32::MAX; count];
        let mut write_return = vec![u32::MAX; count];
        let mut reads_call = vec![0; count];
        for (at, layer) in block.layers.iter().enumerate() {
            if layer.write != INITIAL && !layer.is_repeated {
                let op = self.ops[layer.write as usize].at;
                calls[at] = op.call;
                write_return[at] = op.ret;
            }
        }
        for &(at, read) in &block.reads {
            let (at, op) = (at as usize, self.ops[read as usize].at);
            calls[at] = calls[at].max(op.call);
            reads_call[at] = reads_call[at].max(op.call);
            reads_return[at] = reads_return[at].min(op.ret);
        }
        let mut latest = 0;
        for at in 0..count {
            bounds[at].not_before = latest;
            latest = latest.max(calls[at]);
        }
        let (mut earliest, mut last_read) = (u32::MAX, 0);
        for at in (0..count).rev() {
            earliest = earliest.min(reads_return[at]);
            last_read = last_read.max(reads_call[at]);
            bounds[at].not_after = earliest;
            bounds[at].last_read = last_read;
            earliest = earliest.min(write_return[at]);
        }
        bounds
    }
}

/// What real time says about the write of a layer.
#[derive(Clone)]
struct Bound {
    /// It must not have returned before this: the latest call in front of it.
    not_before: u32,
    /// It must not have been called after this: the earliest return behind it.
    not_after: u32,
    /// The latest call of a read that saw it.
    last_read: u32,
}
