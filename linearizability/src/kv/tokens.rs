//! Which writes wrote a text.

use rustc_hash::FxHashMap;

use super::{Kind, Op};

/// The writes of one kind by the text they wrote.
pub(super) struct Writes<'a> {
    first: FxHashMap<&'a [u8], u32>,
    /// By operation: the next one with the same text, or [`NONE`].
    next: Vec<u32>,
    /// The lengths that occur, ascending.
    lengths: Vec<usize>,
}

const NONE: u32 = u32::MAX;

/// The texts that were written to a key.
pub(super) struct Tokens<'a> {
    pub(super) puts: Writes<'a>,
    pub(super) appends: Writes<'a>,
}

/// The tokens a value may go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    None,
    /// One text, of this length; the first operation that wrote it.
    One(usize, u32),
    /// Texts of different lengths.
    Several,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(ops: &[Op<'a>]) -> Self {
        Tokens { puts: Writes::new(ops, Kind::Put), appends: Writes::new(ops, Kind::Append) }
    }
}

impl<'a> Writes<'a> {
    fn new(ops: &[Op<'a>], kind: Kind) -> Self {
        let count = ops.iter().filter(|op| op.kind == kind).count();
        let mut first = FxHashMap::with_capacity_and_hasher(count, Default::default());
        let mut next = if count > 0 { vec![NONE; ops.len()] } else { Vec::new() };
        let mut has_length = Vec::new();
        // Backwards, so that the lists run forwards.
        for (index, op) in ops.iter().enumerate().rev().filter(|(_, op)| op.kind == kind) {
            next[index] = first.insert(op.text, index as u32).unwrap_or(NONE);
            if has_length.len() <= op.text.len() {
                has_length.resize(op.text.len() + 1, false);
            }
            has_length[op.text.len()] = true;
        }
        let lengths = (0..has_length.len()).filter(|&len| has_length[len]).collect();
        Writes { first, next, lengths }
    }

    /// The tokens of at least one byte that `rest` starts with.
    pub(super) fn at_start_of(&self, rest: &[u8]) -> Match {
        let mut found = Match::None;
        for &len in self.lengths.iter().filter(|&&len| len > 0 && len <= rest.len()) {
            if let Some(&op) = self.first.get(&rest[..len]) {
                if found != Match::None {
                    return Match::Several;
                }
                found = Match::One(len, op);
            }
        }
        found
    }

    /// The lengths of the texts, ascending.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.lengths.iter().copied()
    }

    /// The operations that wrote this text, by call.
    pub(super) fn of(&self, text: &[u8]) -> impl Iterator<Item = u32> + '_ {
        let first = self.first.get(text).copied();
        std::iter::successors(first, |&op| Some(self.next[op as usize]).filter(|&next| next != NONE))
    }

    /// Whether another operation wrote the same text as this first one.
    pub(super) fn is_repeated(&self, first: u32) -> bool {
        self.next[first as usize] != NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Interval;

    #[test]
    fn texts_are_found_by_prefix() {
        let texts = [
            (Kind::Put, "a"),
            (Kind::Append, "bc"),
            (Kind::Append, "bc"),
            (Kind::Append, "b"),
            (Kind::Put, ""),
        ];
        let ops: Vec<Op<'_>> = (0..)
            .zip(texts)
            .map(|(i, (kind, text))| Op { kind, at: Interval { call: i, ret: i }, text: text.as_bytes() })
            .collect();
        let tokens = Tokens::new(&ops);
        assert_eq!(tokens.puts.at_start_of(b"abc"), Match::One(1, 0));
        assert_eq!(tokens.puts.at_start_of(b"bc"), Match::None, "the empty text says nothing");
        assert_eq!(tokens.appends.at_start_of(b"bcd"), Match::Several);
        assert_eq!(tokens.appends.at_start_of(b"b"), Match::One(1, 3));
        assert_eq!(tokens.appends.of(b"bc").collect::<Vec<_>>(), [1, 2]);
        assert_eq!(tokens.puts.of(b"").collect::<Vec<_>>(), [4]);
        assert!(tokens.appends.is_repeated(1) && !tokens.appends.is_repeated(3));
    }
}
