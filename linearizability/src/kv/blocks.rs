//! Step 1: from values to blocks.
//!
//! A block is a base with everything that was seen to grow on it. Only the longest value of a block is decoded;
//! a shorter one must be a prefix of it that ends where a token ends, a longer one continues it. So each byte
//! read is compared once, and each token is decoded once, however often it was read.

use rustc_hash::FxHashMap;

use super::tokens::{Match, Tokens};
use super::{Flaw, INITIAL, Kind, Op};

/// A base, the appends seen on it, and the reads that saw them.
pub(super) struct Block<'a> {
    /// The longest value read.
    longest: &'a [u8],
    longest_read: u32,
    /// By layer: layer 0 is the base, layer i the i-th append.
    pub(super) layers: Vec<Layer>,
    /// (layer, operation), in the order of the calls.
    pub(super) reads: Vec<(u32, u32)>,
}

/// One write of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer {
    /// The write; of a repeated text, the first operation that wrote it until [`repeats`](super::repeats) knows
    /// better.
    pub(super) write: u32,
    pub(super) is_repeated: bool,
    /// Where it ends in the block's values.
    pub(super) end: usize,
    /// A read that saw it.
    pub(super) seen_by: u32,
}

/// Why there are no blocks.
#[derive(Debug)]
pub(super) enum Stop {
    Flaw(Flaw),
    Ambiguous,
}

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Stop::Flaw(flaw)
    }
}

/// Decodes all values.
pub(super) fn decode<'a>(ops: &[Op<'a>], tokens: &Tokens<'a>) -> Result<Vec<Block<'a>>, Stop> {
    let bases = Bases::new(ops, tokens);
    let mut blocks: Vec<Block<'a>> = Vec::new();
    let mut by_base: FxHashMap<u32, u32> = FxHashMap::default();
    // By append: one more than the block that claims it.
    let mut claimed_by = vec![0u32; ops.len()];
    for (read, op) in ops.iter().enumerate().filter(|(_, op)| op.kind == Kind::Get) {
        let (read, value) = (read as u32, op.text);
        let (base, base_len) = bases.of(read)?;
        let number = *by_base.entry(base).or_insert_with(|| {
            let layer = Layer { write: base, is_repeated: false, end: base_len, seen_by: read };
            let longest = &value[..base_len];
            blocks.push(Block { longest, longest_read: read, layers: vec![layer], reads: Vec::new() });
            blocks.len() as u32 - 1
        });
        let block = &mut blocks[number as usize];
        let common = value.len().min(block.longest.len());
        // Values that share their memory need no comparison.
        let same = std::ptr::eq(value.as_ptr(), block.longest.as_ptr())
            || value[..common] == block.longest[..common];
        if !same {
            // Is it a value of its own, or none at all?
            read_through(tokens, value, base_len, read)?;
            return Err(Flaw::Fork { reads: [block.longest_read, read] }.into());
        }
        let layer = if value.len() <= block.longest.len() {
            match block.layers.binary_search_by_key(&value.len(), |layer| layer.end) {
                Ok(layer) => layer,
                Err(after) => {
                    // It ends inside a token.
                    let offset = block.layers[after - 1].end;
                    return Err(Flaw::Unwritten { read, offset }.into());
                }
            }
        } else {
            let mut offset = block.longest.len();
            while offset < value.len() {
                let (len, write) = next_append(tokens, value, offset, read)?;
                let is_repeated = tokens.appends.is_repeated(write);
                if !is_repeated {
                    let claim = &mut claimed_by[write as usize];
                    if *claim == number + 1 {
                        return Err(Flaw::Twice { read, write }.into());
                    }
                    if *claim != 0 {
                        let other = &blocks[*claim as usize - 1];
                        let seen = other.layers.iter().find(|layer| layer.write == write).expect("claimed");
                        return Err(Flaw::TwoBases { reads: [seen.seen_by, read], write }.into());
                    }
                    *claim = number + 1;
                }
                offset += len;
                block.layers.push(Layer { write, is_repeated, end: offset, seen_by: read });
            }
            (block.longest, block.longest_read) = (value, read);
            block.layers.len() - 1
        };
        blocks[number as usize].reads.push((layer as u32, read));
    }
    Ok(blocks)
}

/// The append that goes on at this offset: its length and the first operation that wrote it.
fn next_append(tokens: &Tokens<'_>, value: &[u8], offset: usize, read: u32) -> Result<(usize, u32), Stop> {
    match tokens.appends.at_start_of(&value[offset..]) {
        Match::One(len, write) => Ok((len, write)),
        Match::None => Err(Flaw::Unwritten { read, offset }.into()),
        Match::Several => Err(Stop::Ambiguous),
    }
}

/// Decodes a whole value without keeping anything.
fn read_through(tokens: &Tokens<'_>, value: &[u8], base_len: usize, read: u32) -> Result<(), Stop> {
    let mut offset = base_len;
    let mut seen = rustc_hash::FxHashSet::default();
    while offset < value.len() {
        let (len, write) = next_append(tokens, value, offset, read)?;
        if !tokens.appends.is_repeated(write) && !seen.insert(write) {
            return Err(Flaw::Twice { read, write }.into());
        }
        offset += len;
    }
    Ok(())
}

/// Finds the write a value starts with.
struct Bases<'s, 'a> {
    ops: &'s [Op<'a>],
    tokens: &'s Tokens<'a>,
    empty_put: bool,
    /// Completed puts by return, each with the latest call among those so far.
    overwriting: Vec<(u32, u32)>,
}

impl<'s, 'a> Bases<'s, 'a> {
    fn new(ops: &'s [Op<'a>], tokens: &'s Tokens<'a>) -> Self {
        let mut overwriting: Vec<(u32, u32)> = ops
            .iter()
            .filter(|op| op.kind == Kind::Put && op.returned())
            .map(|op| (op.at.ret, op.at.call))
            .collect();
        overwriting.sort_unstable();
        let mut latest = 0;
        for (_, call) in &mut overwriting {
            latest = latest.max(*call);
            *call = latest;
        }
        Bases { ops, tokens, empty_put: tokens.puts.of(b"").next().is_some(), overwriting }
    }

    /// The base of this read's value, and its length in the value.
    fn of(&self, read: u32) -> Result<(u32, usize), Stop> {
        let value = self.ops[read as usize].text;
        let by_put = self.tokens.puts.at_start_of(value);
        let on_nothing = value.is_empty() || self.tokens.appends.at_start_of(value) != Match::None;
        // The plain cases first: one candidate.
        match by_put {
            Match::Several => return Err(Stop::Ambiguous),
            Match::None if !on_nothing => return Err(Flaw::Unwritten { read, offset: 0 }.into()),
            Match::None if !self.empty_put => return Ok((INITIAL, 0)),
            Match::One(len, put) if !on_nothing && !self.tokens.puts.is_repeated(put) => {
                return Ok((put, len));
            }
            _ => {}
        }
        let mut possible = Vec::new();
        if let Match::One(len, _) = by_put {
            possible.extend(self.tokens.puts.of(&value[..len]).map(|put| (put, len)));
        }
        if on_nothing {
            possible.push((INITIAL, 0));
            possible.extend(self.tokens.puts.of(b"").map(|put| (put, 0)));
        }
        possible.retain(|&(base, _)| self.can_see(read, base));
        match possible.as_slice() {
            [] => Err(Flaw::NoBase { read }.into()),
            [base] => Ok(*base),
            _ => Err(Stop::Ambiguous),
        }
    }

    /// Whether the read may have seen what this put (or the initial value) left: it was called before the read
    /// returned, and no other put came certainly between the two.
    fn can_see(&self, read: u32, base: u32) -> bool {
        let read = &self.ops[read as usize];
        let before = self.overwriting.partition_point(|&(ret, _)| ret < read.at.call);
        let last_call = before.checked_sub(1).map(|i| self.overwriting[i].1);
        match base {
            INITIAL => last_call.is_none(),
            put => {
                let put = &self.ops[put as usize];
                put.at.call < read.at.ret && last_call.is_none_or(|call| put.at.ret >= call)
            }
        }
    }
}
