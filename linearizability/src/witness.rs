//! Replays an order of operations: the check of the checker.
//!
//! It shares nothing with the methods that find orders. It works on the stamps as recorded, not on ranks, and
//! it runs every operation through the model.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::history::History;
use crate::model::Model;
use crate::verdict::Refuted;

/// Verifies that `order` is a linearization of the history: each completed operation once, pending ones at most
/// once, real time respected, every answer one the model allows.
///
/// Takes one step of the model per operation.
pub fn verify<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    order: &[usize],
) -> Result<(), Refuted> {
    let ops = history.operations();
    let mut seen = vec![false; ops.len()];
    // The operation called last among those placed so far.
    let mut latest: Option<usize> = None;
    // Every state each partition may be in: a model that may choose keeps its choices open.
    let mut states: HashMap<Cow<'_, str>, Vec<M::State>> = HashMap::new();
    for &id in order {
        let op = ops.get(id).ok_or(Refuted::NoSuchOperation(id))?;
        if std::mem::replace(&mut seen[id], true) {
            return Err(Refuted::Twice(id));
        }
        if let (Some(before), Some(ret)) = (latest, &op.returned) {
            if ret.at < ops[before].call {
                return Err(Refuted::RealTime { late: id, before });
            }
        }
        if latest.is_none_or(|before| ops[before].call < op.call) {
            latest = Some(id);
        }
        let now = states.entry(model.partition(&op.input)).or_insert_with(|| vec![model.initial()]);
        let mut next = Vec::with_capacity(now.len());
        for state in now.drain(..) {
            model.step(state, &op.input, op.output(), &mut next);
        }
        if next.is_empty() {
            return Err(Refuted::Answer(id));
        }
        if next.len() > 1 {
            let mut distinct: Vec<M::State> = Vec::with_capacity(next.len());
            let mut known = std::collections::HashSet::new();
            distinct.extend(next.into_iter().filter(|s| known.insert(s.clone())));
            next = distinct;
        }
        *now = next;
    }
    match (0..ops.len()).find(|&id| !seen[id] && ops[id].returned.is_some()) {
        Some(id) => Err(Refuted::Missing(id)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Operation;
    use crate::models::{CasInput, CasOutput, CasRegister};

    fn history() -> History<CasInput, CasOutput> {
        History::new(vec![
            Operation::new(0, 1, CasInput::Write(Some(1)), 2, CasOutput::Done),
            Operation::new(1, 3, CasInput::Read, 6, CasOutput::Value(Some(1))),
            Operation::pending(2, 4, CasInput::Write(Some(2))),
            Operation::new(3, 5, CasInput::Read, 8, CasOutput::Value(Some(2))),
        ])
        .unwrap()
    }

    #[test]
    fn a_right_order_is_accepted_and_each_way_to_be_wrong_is_named() {
        let h = history();
        let try_order = |order: &[usize]| verify(&CasRegister, &h, order);
        assert_eq!(try_order(&[0, 1, 2, 3]), Ok(()));
        assert_eq!(try_order(&[0, 1, 2, 9]), Err(Refuted::NoSuchOperation(9)));
        assert_eq!(try_order(&[0, 1, 2, 1]), Err(Refuted::Twice(1)));
        assert_eq!(try_order(&[0, 1, 2]), Err(Refuted::Missing(3)));
        assert_eq!(try_order(&[0, 1, 3]), Err(Refuted::Answer(3)));
        assert_eq!(try_order(&[2, 0, 1, 3]), Err(Refuted::RealTime { late: 0, before: 2 }));
    }
}
