//! The order in which messages of one client arrive, each way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use labrpc::{Envelope, Fate, Faults, Kind, MessageId, NetworkOptions, Server, Spawn, Step, Threads};

use crate::common::*;
use crate::recorder::Recorder;

const MS: Duration = Duration::from_millis(1);
const BURST: u64 = 60;

/// A node that starts one thread and no more. So requests are received in the order they arrive, and
/// replies sent in that order.
#[derive(Default)]
struct OneThread {
    started: AtomicBool,
}

impl Spawn for OneThread {
    fn spawn(&self, name: String, f: Box<dyn FnOnce() + Send>) {
        if !self.started.swap(true, SeqCst) {
            Threads.spawn(name, f);
        }
    }
}

/// A world whose server has one thread, with latencies so different that each draw would reorder.
fn world() -> (World, Arc<Recorder>) {
    let world = World::with(NetworkOptions { latency: MS..=MS * 20, ..Default::default() });
    let mut server = Server::new("server", Arc::new(OneThread::default()));
    server.add(world.tester.clone().into_service());
    world.network.add_server(server);
    let recorder = Recorder::on(&world.network);
    (world, recorder)
}

/// Makes many calls at once; returns the messages of this kind in the order they were delivered. Numbers grow in
/// the order messages are sent.
fn burst(world: &World, recorder: &Recorder, kind: Kind, messages: usize) -> Vec<MessageId> {
    for i in 0..BURST {
        drop(world.calls.next(&Number(i)));
    }
    recorder.until_ends(messages);
    let delivered = |step| step == Step::Delivered;
    let records = recorder.records().into_iter();
    records.filter(|record| record.kind == kind && delivered(record.step)).map(|record| record.id).collect()
}

/// The latency of each message was drawn without regard to the others, so that on a reliable network a burst
/// arrived in any order: a follower rejected the entries that overtook others, and a correct leader, which sent
/// them again, used up its RPCs.
#[test]
fn without_faults_no_message_overtakes_another() {
    for kind in [Kind::Request, Kind::Reply] {
        for fate in [Fate::Default, Fate::Deliver] {
            let (world, recorder) = world();
            world.network.intercept(move |_| fate);
            let delivered = burst(&world, &recorder, kind, 2 * BURST as usize);
            assert_eq!(delivered.len(), BURST as usize);
            assert!(delivered.is_sorted(), "{kind:?} {fate:?}: {delivered:?}");
        }
    }
}

#[test]
fn jitter_reorders_requests() {
    let (world, recorder) = world();
    world.network.set_faults(Faults { request_delay_max: MS * 26, ..Faults::reliable() });
    let delivered = burst(&world, &recorder, Kind::Request, 2 * BURST as usize);
    assert!(!delivered.is_sorted(), "{delivered:?}");
}

/// Nor does a delayed message hold up those behind it.
#[test]
fn a_delayed_message_is_overtaken() {
    for kind in [Kind::Request, Kind::Reply] {
        let (world, recorder) = world();
        let first = AtomicBool::new(true);
        world.network.intercept(move |envelope: &Envelope<'_>| {
            let delayed = envelope.kind == kind && first.swap(false, SeqCst);
            if delayed { Fate::Delay(SOON) } else { Fate::Default }
        });
        let delivered = burst(&world, &recorder, kind, 2 * BURST as usize);
        let (last, others) = delivered.split_last().unwrap();
        assert!(others.is_sorted(), "{kind:?}: {delivered:?}");
        assert_eq!(others.len(), BURST as usize - 1);
        assert!(last < &others[0], "{kind:?}: {delivered:?}");
    }
}

/// The copies overtake and are overtaken; the originals keep their order.
#[test]
fn copies_keep_no_order() {
    let (world, recorder) = world();
    world.network.set_faults(Faults { duplicate: 1.0, ..Faults::reliable() });
    let delivered = burst(&world, &recorder, Kind::Request, 4 * BURST as usize);
    let copy_of = |id: &MessageId| {
        recorder
            .records()
            .iter()
            .any(|record| record.id == *id && matches!(record.step, Step::Duplicated { .. }))
    };
    let (copies, originals): (Vec<_>, Vec<_>) = delivered.into_iter().partition(copy_of);
    assert_eq!((copies.len(), originals.len()), (BURST as usize, BURST as usize));
    assert!(originals.is_sorted(), "{originals:?}");
    assert!(!copies.is_sorted(), "{copies:?}");
}
