//! What can be done to single messages, and how it is seen.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use labrpc::{Envelope, Fate, Faults, Kind, MessageId, NetworkOptions, Notice, Reason, RpcError, Step};
use parking_lot::Mutex;

use crate::common::*;
use crate::recorder::{Recorder, Slow};

const MS: Duration = Duration::from_millis(1);

/// A network whose requests, or replies, all have this fate.
fn fated(kind: Kind, fate: Fate) -> (World, Arc<Recorder>) {
    let world = World::with(NetworkOptions { call_timeout: MS * 300, ..Default::default() });
    let recorder = Recorder::on(&world.network);
    let decide = move |envelope: &Envelope<'_>| if envelope.kind == kind { fate } else { Fate::Default };
    world.network.intercept(decide);
    (world, recorder)
}

#[test]
fn the_observer_sees_a_call_from_end_to_end() {
    for world in [World::new(), World::instant()] {
        let recorder = Recorder::on(&world.network);
        world.calls.letters(&Number(3)).wait().unwrap();
        let records = recorder.records();
        let steps = [Step::Sent, Step::Delivered, Step::Sent, Step::Delivered];
        assert_eq!(records.iter().map(|record| record.step).collect::<Vec<_>>(), steps);
        let (request, reply) = (&records[0], &records[2]);
        assert_eq!((&*request.from, &*request.to, request.kind), ("client", "server", Kind::Request));
        assert_eq!((&*reply.from, &*reply.to, reply.kind), ("server", "client", Kind::Reply));
        assert_eq!((request.size, request.text.as_deref()), (8, Some("Number(3)")));
        assert_eq!((reply.size, reply.text.as_deref()), (11, Some("Text(\"aaa\")")));
        assert_eq!(request.method, "test.letters");
        assert_eq!(request.call, reply.call);
        assert_eq!((records[1].id, records[3].id), (request.id, reply.id));
        assert_ne!(request.id, reply.id);
        recorder.check_conservation();
    }
}

#[test]
fn a_message_can_be_asked_for_its_type() {
    let world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let saw = Arc::clone(&seen);
    world.network.intercept(move |envelope| {
        let message = envelope.message().expect("it decodes");
        saw.lock().push((message.downcast_ref::<Number>().cloned(), message.downcast_ref::<Text>().cloned()));
        Fate::Default
    });
    world.calls.letters(&Number(2)).wait().unwrap();
    assert_eq!(*seen.lock(), [(Some(Number(2)), None), (None, Some(text("aa")))]);
}

#[test]
fn why_a_call_goes_nowhere_is_seen() {
    let world = World::new();
    let recorder = Recorder::on(&world.network);
    world.network.enable(&world.client, false);
    world.calls.next(&Number(0)).wait().unwrap_err();
    world.network.enable(&world.client, true);
    world.network.delete_server("server");
    world.calls.next(&Number(0)).wait().unwrap_err();
    let reasons: Vec<_> = recorder.until_ends(2).into_iter().map(|end| end.step).collect();
    assert_eq!(reasons, [Step::Dropped(Reason::LinkDisabled), Step::Dropped(Reason::NoServer)]);
    recorder.check_conservation();
}

#[test]
fn messages_can_be_dropped_with_either_notice() {
    for kind in [Kind::Request, Kind::Reply] {
        for (notice, error) in [(Notice::AtOnce, RpcError::Lost), (Notice::ByTimeout, RpcError::TimedOut)] {
            let (world, recorder) = fated(kind, Fate::Drop(notice));
            assert_eq!(world.calls.next(&Number(0)).wait(), Err(error));
            assert_eq!(recorder.steps().last(), Some(&(kind, Step::Dropped(Reason::Intercepted))));
            recorder.check_conservation();
        }
    }
}

#[test]
fn messages_can_be_delayed() {
    for kind in [Kind::Request, Kind::Reply] {
        let (world, recorder) = fated(kind, Fate::Delay(MS * 40));
        let (reply, time) = timed(|| world.calls.next(&Number(0)).wait());
        assert_eq!(reply, Ok(Number(1)));
        assert!(time >= MS * 41, "{time:?}");
        assert!(recorder.steps().contains(&(kind, Step::Delayed(MS * 40))));
        recorder.check_conservation();
    }
}

#[test]
fn a_reply_delayed_beyond_the_calls_time_is_discarded() {
    let (world, recorder) = fated(Kind::Reply, Fate::Delay(MS * 400));
    assert_eq!(world.calls.next(&Number(0)).wait(), Err(RpcError::TimedOut));
    assert_eq!(recorder.until_ends(2)[1].step, Step::Dropped(Reason::CallOver));
}

#[test]
fn messages_can_be_duplicated() {
    for (kind, handlers, messages) in [(Kind::Request, 3, 6), (Kind::Reply, 1, 4)] {
        let (world, recorder) = fated(kind, Fate::Duplicate(2));
        assert_eq!(world.calls.next(&Number(0)).wait(), Ok(Number(1)));
        recorder.until_ends(messages);
        assert_eq!(world.started(), handlers);
        assert_eq!(world.network.counts("server").replies, 1);
        recorder.check_conservation();
    }
}

#[test]
fn of_a_kept_message_a_copy_arrives_once_more_when_released() {
    for (kind, handlers) in [(Kind::Request, 2), (Kind::Reply, 1)] {
        let (world, recorder) = fated(kind, Fate::Keep);
        assert_eq!(world.calls.next(&Number(0)).wait(), Ok(Number(1)));
        assert_eq!(world.started(), 1, "the copy is put aside");
        let copy =
            recorder.records().into_iter().find(|record| record.step == Step::Held).expect("a copy").id;
        assert!(world.network.release(copy));
        assert!(!world.network.release(copy), "it is not held any more");
        let messages = 2 + handlers;
        let ends = recorder.until_ends(messages);
        assert_eq!(ends[messages - 1].step, Step::Dropped(Reason::CallOver), "nobody waits for it");
        assert_eq!(world.started(), handlers);
        recorder.check_conservation();
    }
}

#[test]
fn held_messages_go_on_when_released() {
    for kind in [Kind::Request, Kind::Reply] {
        let (world, recorder) = fated(kind, Fate::Hold);
        let reply = world.calls.reverse(&text("ab"));
        until(|| recorder.steps().contains(&(kind, Step::Held)));
        let held = recorder.records().into_iter().find(|record| record.step == Step::Held).unwrap();
        assert!(world.network.release(held.id));
        assert_eq!(reply.wait(), Ok(text("ba")));
        assert!(recorder.steps().contains(&(kind, Step::Released)));
        assert!(!world.network.release(held.id), "it is not held any more");
        recorder.check_conservation();
    }
    assert!(!World::new().network.release(MessageId(99)));
}

/// `Held` was observed before the message was put where `release` looks for it: who released it at once was told
/// that it was not held, and it stayed for ever.
#[test]
fn a_message_can_be_released_from_the_moment_it_is_seen_held() {
    for kind in [Kind::Request, Kind::Reply] {
        let (world, _) = fated(kind, Fate::Hold);
        let (_, held) = Slow::on(&world.network, kind, Step::Held);
        thread::scope(|scope| {
            scope.spawn(|| drop(world.calls.next(&Number(0))));
            let id = held.recv_timeout(SOON * 10).unwrap();
            assert!(world.network.release(id), "{kind:?}");
        });
    }
}

#[test]
fn a_request_released_after_its_call_timed_out_still_reaches_the_handler() {
    let (world, recorder) = fated(Kind::Request, Fate::Hold);
    assert_eq!(world.calls.next(&Number(0)).wait(), Err(RpcError::TimedOut));
    assert_eq!(world.started(), 0);
    let held = recorder.records()[0].id;
    assert!(world.network.release(held));
    let ends = recorder.until_ends(2);
    assert_eq!((ends[0].id, ends[0].step), (held, Step::Delivered));
    assert_eq!(ends[1].step, Step::Dropped(Reason::CallOver));
    assert_eq!(world.started(), 1);
    recorder.check_conservation();
}

#[test]
fn a_released_message_still_needs_an_open_way() {
    let (world, recorder) = fated(Kind::Request, Fate::Hold);
    let reply = world.calls.next(&Number(0));
    world.network.enable(&world.client, false);
    assert_eq!(reply.wait(), Err(RpcError::Lost));
    assert!(world.network.release(recorder.records()[0].id));
    assert_eq!(recorder.until_ends(1)[0].step, Step::Dropped(Reason::LinkCut));
}

#[test]
fn delivery_can_be_ordered_on_a_network_that_loses_everything() {
    let world = World::new();
    world.network.set_faults(Faults { request_loss: 1.0, reply_loss: 1.0, ..Faults::reliable() });
    world.network.intercept(|envelope| match envelope.method.method {
        "next" => Fate::Deliver,
        _ => Fate::Default,
    });
    assert_eq!(world.calls.next(&Number(0)).wait(), Ok(Number(1)));
    assert_eq!(world.calls.letters(&Number(0)).wait(), Err(RpcError::Lost));
}

#[test]
fn an_interceptor_may_work_the_switches() {
    let world = Arc::new(World::new());
    let weak = Arc::downgrade(&world);
    world.network.intercept(move |_| {
        if let Some(world) = weak.upgrade() {
            world.network.enable(&world.client, false);
        }
        Fate::Default
    });
    assert_eq!(world.calls.next(&Number(0)).wait(), Err(RpcError::Lost));
}
