//! Handlers hold up nobody, and no thread stays behind.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;

use crate::common::*;

#[test]
fn three_hundred_blocked_handlers_hold_up_nobody() {
    for world in [World::new(), World::instant()] {
        let blocked: Vec<_> = (0..300).map(|_| world.calls.gate(&Number(0))).collect();
        world.tester.gates.until_waiting(300);
        assert_eq!(world.calls.reverse(&text("abc")).wait(), Ok(text("cba")));
        assert_eq!(world.calls.next(&Number(1)).wait(), Ok(Number(2)));
        world.tester.gates.open(1);
        for reply in blocked {
            assert_eq!(reply.wait(), Ok(Number(0)));
        }
    }
}

#[test]
fn blocked_callbacks_hold_up_nobody() {
    let world = World::new();
    let gates = Arc::new(Gates::default());
    for _ in 0..100 {
        let gates = Arc::clone(&gates);
        world.calls.next(&Number(0)).on_reply(move |_| gates.pass(0));
    }
    gates.until_waiting(100);
    let (sender, receiver) = mpsc::channel();
    world.calls.next(&Number(0)).on_reply(move |reply| sender.send(reply).unwrap());
    assert_eq!(receiver.recv().unwrap(), Ok(Number(1)));
    gates.open(1);
}

#[test]
fn an_async_handler_that_waits_takes_no_thread() {
    for world in [World::new(), World::instant()] {
        let waiting: Vec<_> = (0..300).map(|_| world.calls.async_gate(&Number(0))).collect();
        until(|| world.started() == 300);
        let threads = world.server.started.load(SeqCst);
        assert!(threads < 100, "{threads} threads for 300 waiting handlers");
        world.tester.gates.open(1);
        for reply in waiting {
            assert_eq!(reply.wait(), Ok(Number(0)));
        }
    }
}

#[test]
fn calls_one_after_the_other_use_one_thread() {
    let world = World::new();
    for i in 0..50 {
        world.calls.next(&Number(i)).wait().unwrap();
    }
    let threads = world.server.started.load(SeqCst);
    assert!(threads <= 2, "{threads}: one runs, one more may have been called before it was idle");
}

#[test]
fn idle_threads_end_with_the_server_and_the_clients() {
    let world = World::new();
    let blocked: Vec<_> = (0..20).map(|_| world.calls.gate(&Number(0))).collect();
    world.tester.gates.until_waiting(20);
    world.tester.gates.open(1);
    for reply in blocked {
        reply.on_reply(|_| ());
    }
    until(|| world.network.counts("server").replies == 20);
    assert!(world.server.alive.load(SeqCst) > 0);
    world.network.delete_server("server");
    world.server.until_no_threads();
    world.network.close(&world.client);
    world.caller.until_no_threads();
}

#[test]
fn nothing_outlives_the_network() {
    let World { network, server, caller, calls, .. } = World::new();
    for i in 0..20 {
        calls.reverse(&text(&i.to_string())).on_reply(|_| ());
    }
    drop(network);
    server.until_no_threads();
    caller.until_no_threads();
}

#[test]
fn a_client_that_is_dropped_need_not_be_closed() {
    let World { network, caller, calls, client, .. } = World::new();
    calls.next(&Number(0)).on_reply(|_| ());
    until(|| caller.started.load(SeqCst) > 0);
    drop((calls, client));
    caller.until_no_threads();
    drop(network);
}
