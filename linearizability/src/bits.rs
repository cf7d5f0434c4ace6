//! A small set of small numbers.

use smallvec::SmallVec;

/// A set of numbers, two words of it without an allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bits(
    // invariant: the last word is not zero, so that equal sets are equal words
    SmallVec<[u64; 2]>,
);

impl Bits {
    pub(crate) fn contains(&self, n: usize) -> bool {
        self.0.get(n / 64).is_some_and(|word| word >> (n % 64) & 1 == 1)
    }

    pub(crate) fn insert(&mut self, n: usize) {
        if self.0.len() <= n / 64 {
            self.0.resize(n / 64 + 1, 0);
        }
        self.0[n / 64] |= 1 << (n % 64);
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, n: usize) -> bool {
        if !self.contains(n) {
            return false;
        }
        self.0[n / 64] &= !(1 << (n % 64));
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        true
    }

    pub(crate) fn is_subset(&self, of: &Bits) -> bool {
        self.0.len() <= of.0.len() && self.0.iter().zip(&of.0).all(|(a, b)| a & !b == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_equal_however_they_came_about() {
        let mut a = Bits::default();
        for n in [3, 64, 300] {
            a.insert(n);
        }
        assert!(a.contains(64) && !a.contains(65) && !a.contains(1000));
        assert!(a.remove(300) && a.remove(64) && !a.remove(64));
        let mut b = Bits::default();
        b.insert(3);
        assert_eq!(a, b);
    }

    #[test]
    fn subsets() {
        let set = |ns: &[usize]| {
            let mut bits = Bits::default();
            ns.iter().for_each(|&n| bits.insert(n));
            bits
        };
        assert!(set(&[]).is_subset(&set(&[])));
        assert!(set(&[1, 70]).is_subset(&set(&[1, 2, 70])));
        assert!(!set(&[1, 70]).is_subset(&set(&[1, 2])));
        assert!(!set(&[1]).is_subset(&set(&[0, 70])));
    }
}
