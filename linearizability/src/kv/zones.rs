//! Step 2: whether blocks fit together in time, and an order in which they do.

use super::blocks::Block;
use super::{Flaw, INITIAL, Kind, Op};

/// A block, or a write nobody observed, as seen by the others.
#[derive(Debug, Clone, Copy)]
struct Zone {
    /// The operation that returned first, [`INITIAL`] for the block of the initial value, and when.
    first_return: (u32, u32),
    /// When the last operation was called, and which.
    last_call: (u32, u32),
    /// Number of the block, or number of blocks plus index of the write.
    who: u32,
}

impl Zone {
    /// Whether everything between its first return and its last call belongs to it.
    fn is_forward(&self) -> bool {
        self.first_return.1 == INITIAL || self.first_return.0 < self.last_call.0
    }
}

/// An order of all operations that returned or were observed, or why there is none.
pub(super) fn decide(ops: &[Op<'_>], blocks: &mut [Block<'_>]) -> Result<Vec<u32>, Flaw> {
    let mut observed = vec![false; ops.len()];
    let (mut forward, mut backward): (Vec<Zone>, Vec<Zone>) = (Vec::new(), Vec::new());
    for (number, block) in blocks.iter_mut().enumerate() {
        block.reads.sort_unstable();
        for layer in block.layers.iter().filter(|layer| layer.write != INITIAL) {
            observed[layer.write as usize] = true;
        }
        let zone = zone(ops, block, number as u32)?;
        if zone.is_forward() { forward.push(zone) } else { backward.push(zone) }
    }
    for (index, op) in ops.iter().enumerate() {
        if op.is_write() && op.returned() && !observed[index] {
            let index = index as u32;
            backward.push(Zone {
                first_return: (op.at.ret, index),
                last_call: (op.at.call, index),
                who: blocks.len() as u32 + index,
            });
        }
    }
    forward.sort_unstable_by_key(|zone| zone.first_return);
    let flaw = |span: &Zone, intruder: &Zone, crossing| {
        let base = |zone: &Zone| match blocks.get(zone.who as usize) {
            Some(block) => block.layers[0].write,
            None => zone.who - blocks.len() as u32,
        };
        Flaw::Inside {
            span: [span.first_return.1, span.last_call.1],
            intruder: [intruder.first_return.1, intruder.last_call.1],
            bases: [base(span), base(intruder)],
            crossing,
        }
    };
    for pair in forward.windows(2) {
        if pair[0].last_call.0 > pair[1].first_return.0 {
            return Err(flaw(&pair[0], &pair[1], true));
        }
    }
    // A forward block stands at its first return, a backward one at its last call. If a forward zone covers that
    // moment, the block may wait until the zone ends, and comes behind it in the order either way.
    let mut places: Vec<(u32, u32)> = forward.iter().map(|zone| (zone.first_return.0, zone.who)).collect();
    for zone in &backward {
        let (from, to) = (zone.last_call.0, zone.first_return.0);
        let before = forward.partition_point(|f| f.first_return.0 < from || f.first_return.1 == INITIAL);
        if let Some(cover) = before.checked_sub(1).map(|i| &forward[i]) {
            if cover.last_call.0 > to {
                return Err(flaw(cover, zone, false));
            }
        }
        places.push((from, zone.who));
    }
    // The initial value comes first, whatever its reads say.
    let initial = blocks.iter().position(|block| block.layers[0].write == INITIAL);
    places.sort_unstable_by_key(|&(place, who)| (initial != Some(who as usize), place, who));
    let mut order = Vec::with_capacity(ops.len());
    for (_, who) in places {
        match blocks.get(who as usize) {
            Some(block) => emit(block, &mut order),
            None => order.push(who - blocks.len() as u32),
        }
    }
    Ok(order)
}

/// Completes an order by the operations that neither changed nor saw anything, and so fit wherever time allows.
pub(super) fn with_nothings(ops: &[Op<'_>], order: Vec<u32>) -> Vec<u32> {
    let mut nothings = (0..ops.len() as u32)
        .filter(|&i| ops[i as usize].kind == Kind::Nothing && ops[i as usize].returned())
        .peekable();
    if nothings.peek().is_none() {
        return order;
    }
    let mut all = Vec::with_capacity(ops.len());
    let mut point = 0;
    for op in order {
        // The earliest moment this one can have happened; what was called before that fits in front of it.
        point = point.max(ops[op as usize].at.call);
        while let Some(nothing) = nothings.next_if(|&n| ops[n as usize].at.call < point) {
            all.push(nothing);
        }
        all.push(op);
    }
    all.extend(nothings);
    all
}

/// The operations of a block in the only order its values allow; reads of one value by call.
fn emit(block: &Block<'_>, order: &mut Vec<u32>) {
    let mut reads = block.reads.iter().peekable();
    for (number, layer) in block.layers.iter().enumerate() {
        if layer.write != INITIAL {
            order.push(layer.write);
        }
        while let Some((_, read)) = reads.next_if(|(at, _)| *at as usize == number) {
            order.push(*read);
        }
    }
}

/// Checks the order inside a block against real time and sums the block up.
fn zone(ops: &[Op<'_>], block: &Block<'_>, who: u32) -> Result<Zone, Flaw> {
    let is_initial = block.layers[0].write == INITIAL;
    // The initial value was there before everything.
    let mut zone = Zone { first_return: (u32::MAX, INITIAL), last_call: (0, INITIAL), who };
    if is_initial {
        zone.first_return = (0, INITIAL);
    }
    let mut reads = block.reads.iter().peekable();
    for (number, layer) in block.layers.iter().enumerate() {
        // Everything in earlier positions, then this layer's write, then its reads, which are free among
        // themselves.
        if layer.write != INITIAL {
            let before = zone.last_call;
            include(ops, &mut zone, layer.write, before, is_initial)?;
        }
        let before = zone.last_call;
        while let Some((_, read)) = reads.next_if(|(at, _)| *at as usize == number) {
            include(ops, &mut zone, *read, before, is_initial)?;
        }
    }
    Ok(zone)
}

/// Adds an operation to a zone, unless it returned before something that precedes it in the block was called.
fn include(
    ops: &[Op<'_>],
    zone: &mut Zone,
    op: u32,
    before: (u32, u32),
    is_initial: bool,
) -> Result<(), Flaw> {
    let at = ops[op as usize].at;
    if before.1 != INITIAL && at.ret < before.0 {
        return Err(Flaw::Chain { first: before.1, second: op });
    }
    if zone.last_call.1 == INITIAL || at.call > zone.last_call.0 {
        zone.last_call = (at.call, op);
    }
    if !is_initial && (at.ret, op) < zone.first_return {
        zone.first_return = (at.ret, op);
    }
    Ok(())
}
