//! The end of servers, links, clients and networks with calls under way.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use labrpc::{Fate, Faults, Kind, NetworkOptions, Notice, Reason, RpcError, RpcFuture, Step};

use crate::common::*;
use crate::recorder::{Recorder, Slow};

const ZERO: Duration = Duration::ZERO;
const MOMENT: Duration = Duration::from_millis(30);

/// A network of this kind once delivered replies of servers that had been deleted while the handler ran: a
/// client took a write for done that the restarted server did not have.
#[test]
fn a_reply_is_never_delivered_after_the_server_was_deleted() {
    let worlds = [World::new(), World::instant()];
    for (world, asynchronous) in worlds.iter().flat_map(|world| [(world, false), (world, true)]) {
        world.start_server();
        let recorder = Recorder::on(&world.network);
        let gates = &world.tester.gates;
        let delivered = world.network.total().delivered;
        let reply =
            if asynchronous { world.calls.async_gate(&Number(0)) } else { world.calls.gate(&Number(0)) };
        until(|| world.network.total().delivered > delivered);
        world.network.delete_server("server");
        gates.open(1);
        assert_eq!(reply.wait(), Err(RpcError::Lost));
        let ends = recorder.until_ends(2);
        assert_eq!(ends[0].step, Step::Delivered);
        assert_eq!(ends[1].step, Step::Dropped(Reason::ServerDeleted), "{ends:?}");
        assert_eq!(world.network.counts("server").replies, 0);
        gates.open(0);
    }
}

/// The same with a new server of the same name in place when the old handler ends.
#[test]
fn nor_is_it_delivered_when_the_server_has_been_restarted() {
    let world = World::new();
    let recorder = Recorder::on(&world.network);
    let reply = world.calls.gate(&Number(0));
    world.tester.gates.until_waiting(1);
    world.start_server();
    world.tester.gates.open(1);
    assert_eq!(reply.wait(), Err(RpcError::Lost));
    assert_eq!(recorder.until_ends(2)[1].step, Step::Dropped(Reason::ServerDeleted));
    assert_eq!(world.calls.gate(&Number(0)).wait(), Ok(Number(0)));
}

/// Nor when the handler had ended in time, and the reply was on its way.
#[test]
fn nor_is_it_delivered_when_it_was_on_its_way() {
    for cut in [false, true] {
        let world = World::new();
        let recorder = Recorder::on(&world.network);
        world.network.intercept(|envelope| match envelope.kind {
            Kind::Request => Fate::Deliver,
            Kind::Reply => Fate::Delay(MOMENT),
        });
        let reply = world.calls.next(&Number(0));
        until(|| recorder.steps().contains(&(Kind::Reply, Step::Delayed(MOMENT))));
        let reason = if cut {
            world.network.enable(&world.client, false);
            Reason::LinkCut
        } else {
            world.network.delete_server("server");
            Reason::ServerDeleted
        };
        assert_eq!(reply.wait(), Err(RpcError::Lost));
        assert_eq!(recorder.until_ends(2)[1].step, Step::Dropped(reason));
    }
}

/// Deletes servers at any moment of many calls: once `delete_server` has returned, no call resolves with a
/// reply.
#[test]
fn no_call_succeeds_once_delete_server_has_returned() {
    let world = World::instant();
    for _ in 0..200 {
        world.start_server();
        let (sender, replies) = mpsc::channel();
        thread::scope(|scope| {
            let calls = &world.calls;
            scope.spawn(move || {
                for i in 0..50 {
                    sender.send(calls.reverse(&text(&i.to_string()))).unwrap();
                }
            });
            thread::yield_now();
            world.network.delete_server("server");
            let counted = world.network.total().replies;
            thread::yield_now();
            assert_eq!(world.network.total().replies, counted);
        });
        drop(replies);
    }
}

/// A request was counted and seen delivered after its way had been checked, and with no lock held: so it could be
/// counted for the restarted server, and be seen when `delete_server` had returned. And a call was among those a
/// cut ends before it was seen sent, so that it could be over by then.
#[test]
fn a_switch_comes_before_a_step_or_after_it() {
    for (kind, step) in
        [(Kind::Request, Step::Sent), (Kind::Request, Step::Delivered), (Kind::Reply, Step::Delivered)]
    {
        for cut in [false, true] {
            let world = World::new();
            let (slow, begun) = Slow::on(&world.network, kind, step);
            thread::scope(|scope| {
                scope.spawn(|| drop(world.calls.next(&Number(0))));
                begun.recv_timeout(SOON * 10).unwrap();
                if cut {
                    world.network.enable(&world.client, false);
                } else {
                    world.network.delete_server("server");
                }
                assert!(slow.is_done(), "{kind:?} {step:?}");
            });
        }
    }
}

#[test]
fn deleting_the_server_ends_a_call_whose_handler_is_stuck() {
    let world = World::new();
    let reply = world.calls.gate(&Number(0));
    world.tester.gates.until_waiting(1);
    let (sender, receiver) = mpsc::channel();
    reply.on_reply(move |reply| sender.send(reply).unwrap());
    assert!(receiver.recv_timeout(Duration::from_millis(1100)).is_err(), "it is stuck");
    let (_, time) = timed(|| {
        world.network.delete_server("server");
        assert_eq!(receiver.recv().unwrap(), Err(RpcError::Lost));
    });
    assert!(time < SOON, "{time:?}");
    world.tester.gates.open(1);
}

#[test]
fn a_cut_ends_calls_in_a_handler_and_drops_their_replies() {
    let world = World::new();
    let recorder = Recorder::on(&world.network);
    let reply = world.calls.gate(&Number(0));
    world.tester.gates.until_waiting(1);
    let (reply, time) = timed(|| {
        world.network.enable(&world.client, false);
        reply.wait()
    });
    assert_eq!(reply, Err(RpcError::Lost));
    assert!(time < SOON, "{time:?}");
    world.tester.gates.open(1);
    assert_eq!(recorder.until_ends(2)[1].step, Step::Dropped(Reason::LinkCut));
}

#[test]
fn a_cut_drops_requests_on_their_way() {
    let world = World::new();
    let recorder = Recorder::on(&world.network);
    world.network.intercept(|_| Fate::Delay(MOMENT));
    let reply = world.calls.next(&Number(0));
    world.network.enable(&world.client, false);
    assert_eq!(reply.wait(), Err(RpcError::Lost));
    assert_eq!(recorder.until_ends(1)[0].step, Step::Dropped(Reason::LinkCut));
    assert_eq!(world.started(), 0);
}

#[test]
fn a_request_does_not_reach_the_server_that_replaced_its_own() {
    let world = World::new();
    let recorder = Recorder::on(&world.network);
    world.network.intercept(|_| Fate::Delay(MOMENT));
    let reply = world.calls.next(&Number(0));
    world.start_server();
    assert_eq!(reply.wait(), Err(RpcError::Lost));
    assert_eq!(recorder.until_ends(1)[0].step, Step::Dropped(Reason::ServerDeleted));
    assert_eq!(world.started(), 0);
}

#[test]
fn a_cut_of_one_client_leaves_the_others_alone() {
    let world = World::new();
    let other = world.client("other").gate(&Number(0));
    let cut = world.calls.gate(&Number(0));
    world.tester.gates.until_waiting(2);
    world.network.enable(&world.client, false);
    assert_eq!(cut.wait(), Err(RpcError::Lost));
    world.tester.gates.open(1);
    assert_eq!(other.wait(), Ok(Number(0)));
}

#[test]
fn closing_ends_pending_and_later_calls() {
    let world = World::new();
    let recorder = Recorder::on(&world.network);
    let reply = world.calls.gate(&Number(0));
    world.tester.gates.until_waiting(1);
    world.network.close(&world.client);
    assert_eq!(reply.wait(), Err(RpcError::Stopped));
    let (late, time) = timed(|| world.calls.next(&Number(0)).wait());
    assert_eq!(late, Err(RpcError::Stopped));
    assert!((Duration::from_micros(100)..SOON).contains(&time), "{time:?}");
    world.tester.gates.open(1);
    let ends = recorder.until_ends(3);
    assert_eq!(ends[1].step, Step::Dropped(Reason::CallerClosed), "the later call: {ends:?}");
    assert_eq!(ends[2].step, Step::Dropped(Reason::CallerClosed), "the reply: {ends:?}");
    world.network.close(&world.client);
}

#[test]
fn closing_ends_calls_that_cannot_be_delivered() {
    let world = World::new();
    world.network.set_faults(Faults { long_delays: true, ..Faults::reliable() });
    world.network.enable(&world.client, false);
    let replies: Vec<_> = (0..20).map(|i| world.calls.next(&Number(i))).collect();
    let (_, time) = timed(|| {
        world.network.close(&world.client);
        for reply in replies {
            assert_eq!(reply.wait(), Err(RpcError::Stopped));
        }
    });
    assert!(time < SOON, "{time:?}");
}

#[test]
fn the_end_of_the_network_ends_all_calls() {
    let World { network, tester, calls, .. } = World::new();
    let recorder = Recorder::on(&network);
    let running = calls.gate(&Number(0));
    tester.gates.until_waiting(1);
    network.intercept(|envelope| match envelope.method.method {
        "letters" => Fate::Hold,
        _ => Fate::Delay(SOON * 100),
    });
    let (held, under_way) = (calls.letters(&Number(1)), calls.next(&Number(0)));
    drop(network);
    for outcome in [running.wait().err(), held.wait().err(), under_way.wait().err()] {
        assert_eq!(outcome, Some(RpcError::Stopped));
    }
    assert_eq!(calls.next(&Number(0)).wait(), Err(RpcError::Stopped));
    tester.gates.open(1);
    let ends = recorder.until_ends(5);
    let stopped = ends.iter().filter(|end| end.step == Step::Dropped(Reason::NetworkStopped)).count();
    assert_eq!(stopped, 2, "the held message and the one under way: {ends:?}");
    recorder.check_conservation();
}

/// A message that was held when the network had let go of those it held was never let go: it kept its call, that
/// its client, and that the network's remains, which kept the message.
#[test]
fn a_message_held_while_the_network_ends_keeps_nothing_alive() {
    let World { network, caller, calls, client, .. } = World::new();
    let recorder = Recorder::on(&network);
    let gates = Arc::new(Gates::default());
    let interceptors = Arc::clone(&gates);
    network.intercept(move |_| {
        interceptors.pass(0);
        Fate::Hold
    });
    let call = thread::spawn(move || calls.next(&Number(0)).wait());
    gates.until_waiting(1);
    drop(network);
    gates.open(1);
    assert_eq!(call.join().unwrap(), Err(RpcError::Stopped));
    assert_eq!(recorder.steps().last(), Some(&(Kind::Request, Step::Dropped(Reason::NetworkStopped))));
    drop(client);
    assert_eq!(Arc::strong_count(&caller), 1, "only the test has the node still");
}

/// All faults and fates, cuts, restarts and closed clients at once: each call resolves, and each message has one
/// beginning and one end.
#[test]
fn whatever_happens_calls_resolve_and_messages_end() {
    for options in [NetworkOptions::default(), NetworkOptions { latency: ZERO..=ZERO, ..Default::default() }]
    {
        let world = World::with(NetworkOptions { call_timeout: MOMENT * 5, ..options });
        let recorder = Recorder::on(&world.network);
        world.network.set_faults(Faults {
            duplicate: 0.1,
            long_request_delay: 0.1,
            long_request_delay_range: ZERO..=MOMENT,
            long_reordering: true,
            ..Faults::unreliable()
        });
        world.network.intercept(|envelope| match envelope.id.0 % 20 {
            0 => Fate::Hold,
            1 => Fate::Drop(Notice::ByTimeout),
            2 => Fate::Duplicate(2),
            3 => Fate::Delay(MOMENT),
            _ => Fate::Default,
        });
        let mut replies = Vec::new();
        for round in 0..20 {
            let client = world.network.client("client", "server", world.caller.clone());
            let calls = TestClient::new(client.clone());
            for i in 0..20 {
                world.network.enable(&client, i % 10 != 9);
                replies.push(received(calls.reverse(&text("ab"))));
                replies.push(received(calls.letters(&Number(i))));
            }
            match round % 4 {
                0 => world.network.delete_server("server"),
                1 => world.start_server(),
                2 => world.network.close(&client),
                _ => (),
            }
            let held = recorder.records().into_iter().filter(|record| record.step == Step::Held);
            for record in held.filter(|record| record.id.0 % 40 == 0) {
                world.network.release(record.id);
            }
            thread::sleep(MOMENT / 10);
        }
        for reply in replies {
            assert!(reply.recv_timeout(SOON * 10).is_ok(), "the call resolves");
        }
        let World { network, server, caller, .. } = world;
        drop(network);
        server.until_no_threads();
        caller.until_no_threads();
        recorder.check_conservation();
    }
}

/// Where the outcome of a call will be.
fn received(reply: RpcFuture<Text>) -> mpsc::Receiver<labrpc::Result<Text>> {
    let (sender, receiver) = mpsc::channel();
    reply.on_reply(move |reply| sender.send(reply).unwrap());
    receiver
}
