//! [`ByIndex`]: a map by log index, for indexes that lie close together, as those of a log do.

use std::collections::VecDeque;

/// So far may an index lie from the others. Of one that lies further, which only a broken solution names, nothing is
/// kept: no number in a message may take the test's memory.
const MAX_GAP: u64 = 1 << 16;

/// Values by log index.
pub(super) struct ByIndex<T> {
    /// The index of the first slot.
    first: u64,
    slots: VecDeque<Option<T>>,
}

impl<T> Default for ByIndex<T> {
    fn default() -> ByIndex<T> {
        ByIndex { first: 0, slots: VecDeque::new() }
    }
}

impl<T> ByIndex<T> {
    pub(super) fn get(&self, index: u64) -> Option<&T> {
        self.slots.get(self.place(index)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u64) -> Option<&mut T> {
        let place = self.place(index)?;
        self.slots.get_mut(place)?.as_mut()
    }

    /// The value at an index, `new` if there was none; `None` for an index too far from all others.
    pub(super) fn get_or_insert(&mut self, index: u64, new: T) -> Option<&mut T> {
        if self.slots.is_empty() {
            self.first = index;
        }
        let before = self.first.saturating_sub(index);
        let beyond = index.saturating_sub(self.first).saturating_sub(self.slots.len() as u64);
        if before.max(beyond) > MAX_GAP {
            return None;
        }
        for _ in 0..before {
            self.slots.push_front(None);
        }
        self.first -= before;
        let place = self.place(index)?;
        if place >= self.slots.len() {
            self.slots.resize_with(place + 1, || None);
        }
        Some(self.slots[place].get_or_insert(new))
    }

    /// The values with their indexes, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        let at = move |place: usize| Some((self.first + place as u64, self.slots[place].as_ref()?));
        (0..self.slots.len()).filter_map(at)
    }

    /// The last value up to an index.
    pub(super) fn last_up_to(&self, index: u64) -> Option<(u64, &T)> {
        let end = self.slots.len().min(self.place(index)?.saturating_add(1));
        (0..end).rev().find_map(|place| Some((self.first + place as u64, self.slots[place].as_ref()?)))
    }

    fn place(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_at_their_indexes_however_they_came() {
        let mut map = ByIndex::default();
        for index in [7, 9, 4] {
            assert_eq!(map.get_or_insert(index, index * 10), Some(&mut (index * 10)));
        }
        assert_eq!(map.get_or_insert(9, 0), Some(&mut 90), "what is there stays");
        *map.get_mut(4).unwrap() += 1;
        assert_eq!((map.get(4), map.get(5), map.get(3), map.get(10)), (Some(&41), None, None, None));
        assert_eq!(map.iter().collect::<Vec<_>>(), [(4, &41), (7, &70), (9, &90)]);
        assert_eq!(map.iter().next_back(), Some((9, &90)));
        assert_eq!((map.last_up_to(8), map.last_up_to(u64::MAX)), (Some((7, &70)), Some((9, &90))));
        assert_eq!(map.last_up_to(3), None);
    }

    #[test]
    fn an_absurd_index_takes_no_memory() {
        let mut map = ByIndex::default();
        map.get_or_insert(1 << 20, 'a');
        for absurd in [0, u64::MAX, (1 << 20) + MAX_GAP + 2] {
            assert_eq!(map.get_or_insert(absurd, 'b'), None);
            assert_eq!(map.get(absurd), None);
        }
        assert_eq!(map.get_or_insert((1 << 20) + MAX_GAP + 1, 'b'), Some(&mut 'b'));
    }
}
