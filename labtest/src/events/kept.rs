//! [`Kept`]: the last events of a run.

use std::collections::VecDeque;

use super::{Event, Number};

/// How many events there are to a piece: some 90 KiB.
const PIECE: usize = 512;

/// Events with successive numbers. They lie in pieces, so that none is moved when more are kept; and a piece has its
/// memory at once, since a run is a new process, in which a page fault for each page would cost more than the rest of
/// recording an event.
#[derive(Default)]
pub(crate) struct Kept {
    /// All are full, but for the first, which is forgotten from its beginning, and the last.
    pieces: VecDeque<VecDeque<Event>>,
    len: usize,
}

impl Kept {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.pieces.iter().flatten()
    }

    pub(crate) fn get(&self, number: Number) -> Option<&Event> {
        let first = self.pieces.front()?;
        let at = usize::try_from(number.checked_sub(first.front()?.number)?).ok()?;
        match at.checked_sub(first.len()) {
            None => first.get(at),
            Some(after) => self.pieces.get(1 + after / PIECE)?.get(after % PIECE),
        }
    }

    /// Keeps one more, whose number is the next.
    pub(crate) fn push(&mut self, event: Event) -> &Event {
        if self.pieces.back().is_none_or(|last| last.len() == PIECE) {
            let mut piece = Vec::with_capacity(PIECE);
            labsim::populate(piece.spare_capacity_mut());
            self.pieces.push_back(piece.into());
        }
        self.len += 1;
        let last = self.pieces.back_mut().expect("one was made");
        last.push_back(event);
        last.back().expect("it was pushed")
    }

    /// Forgets the oldest.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.pieces.front_mut()?.pop_front()?;
        if self.pieces.front().is_some_and(VecDeque::is_empty) {
            self.pieces.pop_front();
        }
        self.len -= 1;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::events::{Life, What};

    #[test]
    fn events_are_found_by_number_across_pieces_whatever_was_forgotten() {
        let mut kept = Kept::default();
        assert!(kept.pop().is_none() && kept.get(0).is_none());
        let what = What::Thaw { life: Life { server: 0, incarnation: 0 } };
        let (mut oldest, mut next) = (7, 7);
        for (pushes, pops) in [(1, 1), (10, 4), (3 * PIECE, PIECE + 1), (PIECE, 3 * PIECE), (5, 1)] {
            for _ in 0..pushes {
                let event = Event { number: next, at: Duration::ZERO, what: what.clone() };
                assert_eq!(kept.push(event).number, next);
                next += 1;
            }
            for _ in 0..pops {
                assert_eq!(kept.pop().map(|event| event.number), Some(oldest));
                oldest += 1;
            }
            assert_eq!(kept.len() as u64, next - oldest);
            assert!(kept.iter().map(|event| event.number).eq(oldest..next));
            assert!((oldest..next).all(|number| kept.get(number).unwrap().number == number));
            assert!(kept.get(oldest - 1).is_none() && kept.get(next).is_none());
        }
    }
}
