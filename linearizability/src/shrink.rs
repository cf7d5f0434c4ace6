//! Shrinks a set while a property holds.

/// What a trial says about a smaller set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// Still has the property.
    Holds,
    /// Has it no more.
    Lost,
    /// Too costly to say.
    Unknown,
    /// Too costly to go on at all.
    GiveUp,
}

/// Removes items, large pieces first, as long as `trial` says that the rest has the property. Returns what is
/// left, and whether every single item of it was shown to be needed.
pub(crate) fn shrink(mut items: Vec<usize>, mut trial: impl FnMut(&[usize]) -> Trial) -> (Vec<usize>, bool) {
    let mut piece = items.len().div_ceil(2);
    loop {
        let mut all_needed = true;
        let mut removed = false;
        let mut from = 0;
        while from < items.len() {
            let to = (from + piece).min(items.len());
            let rest: Vec<usize> = items[..from].iter().chain(&items[to..]).copied().collect();
            match trial(&rest) {
                Trial::Holds => {
                    items = rest;
                    removed = true;
                }
                Trial::Lost => from = to,
                Trial::GiveUp => return (items, false),
                Trial::Unknown => {
                    all_needed = false;
                    from = to;
                }
            }
        }
        if piece <= 1 && !removed {
            return (items, all_needed);
        }
        piece = (piece / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        let needed = [3, 17, 18, 90];
        let holds = |set: &[usize]| match needed.iter().all(|n| set.contains(n)) {
            true => Trial::Holds,
            false => Trial::Lost,
        };
        assert_eq!(shrink((0..100).collect(), holds), (needed.to_vec(), true));
    }

    #[test]
    fn doubt_is_reported() {
        let trial = |set: &[usize]| if set.contains(&5) { Trial::Holds } else { Trial::Unknown };
        assert_eq!(shrink((0..10).collect(), trial), (vec![5], false));
        // The third trial is one too many: what the first two settled stands.
        let mut trials = 0;
        let tired = |set: &[usize]| {
            trials += 1;
            match trials {
                3 => Trial::GiveUp,
                _ if set.contains(&15) => Trial::Holds,
                _ => Trial::Lost,
            }
        };
        assert_eq!(shrink((0..16).collect(), tired), ((8..16).collect(), false));
    }
}
