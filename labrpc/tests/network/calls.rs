//! Ordinary calls, as the labs' own tests of their network have them.

use std::thread;
use std::time::Duration;

use labrpc::{Faults, Network, NetworkOptions, RpcError};

use crate::common::*;

#[test]
fn a_call_gets_its_reply() {
    for world in [World::new(), World::instant()] {
        assert_eq!(world.calls.reverse(&text("raft")).wait(), Ok(text("tfar")));
        assert_eq!(world.calls.next(&Number(1)).wait(), Ok(Number(2)));
    }
}

#[test]
fn a_message_takes_a_millisecond_each_way() {
    let world = World::new();
    let count: u32 = 20;
    let (_, time) = timed(|| (0..count).for_each(|_| drop(world.calls.next(&Number(0)).wait())));
    assert!(time >= Duration::from_millis(1) * count, "{time:?}");
}

#[test]
fn a_client_is_disabled_until_it_is_enabled() {
    let world = World::new();
    let client = world.network.client("other", "server", world.caller.clone());
    let calls = TestClient::new(client.clone());
    assert_eq!(calls.reverse(&text("abc")).wait(), Err(RpcError::TimedOut));
    world.network.enable(&client, true);
    assert_eq!(calls.reverse(&text("abc")).wait(), Ok(text("cba")));
    assert_eq!(world.started(), 1);
}

#[test]
fn a_name_nobody_has_is_unreachable_until_somebody_has_it() {
    let network = Network::new(NetworkOptions::default());
    let node = World::new();
    let client = network.client("a", "late", node.caller.clone());
    network.enable(&client, true);
    let calls = TestClient::new(client);
    assert_eq!(calls.next(&Number(1)).wait(), Err(RpcError::TimedOut));
    let mut server = labrpc::Server::new("late", node.server.clone());
    server.add(node.tester.clone().into_service());
    network.add_server(server);
    assert_eq!(calls.next(&Number(1)).wait(), Ok(Number(2)));
}

#[test]
fn calls_are_counted_by_server() {
    let world = World::new();
    for _ in 0..17 {
        world.calls.next(&Number(0)).wait().unwrap();
    }
    assert_eq!(world.network.counts("server").delivered, 17);
    assert_eq!(world.network.counts("somebody else"), Default::default());

    world.start_server();
    assert_eq!(world.network.counts("server"), Default::default(), "a restarted server starts at zero");
    world.calls.next(&Number(0)).wait().unwrap();
    assert_eq!(world.network.counts("server").delivered, 1);
    assert_eq!(world.network.total().delivered, 18);
}

#[test]
fn bytes_are_counted_both_ways() {
    let world = World::new();
    let long = text(&"x".repeat(284));
    for _ in 0..17 {
        world.client("fresh").reverse(&long).wait().unwrap();
    }
    let there = world.network.total();
    assert!((4828..=6000).contains(&there.request_bytes), "{there:?}");
    let before = there.request_bytes + there.reply_bytes;
    for _ in 0..17 {
        world.calls.letters(&Number(107)).wait().unwrap();
    }
    let all = world.network.total();
    let more = all.request_bytes + all.reply_bytes - before;
    assert!((1800..=2500).contains(&more), "{more}");
}

#[test]
fn requests_are_counted_even_if_they_go_nowhere_and_replies_are_not() {
    let world = World::new();
    world.network.enable(&world.client, false);
    world.calls.letters(&Number(50)).wait().unwrap_err();
    let counts = world.network.counts("server");
    assert_eq!((counts.calls, counts.request_bytes), (1, 8));
    assert_eq!((counts.delivered, counts.replies, counts.reply_bytes), (0, 0, 0));
}

#[test]
fn twenty_clients_make_ten_calls_each_at_once() {
    let world = World::new();
    thread::scope(|scope| {
        for i in 0..20 {
            let calls = world.client(&format!("client {i}"));
            scope.spawn(move || {
                for j in 0..10 {
                    let number = i * 100 + j;
                    assert_eq!(calls.next(&Number(number)).wait(), Ok(Number(number + 1)));
                }
            });
        }
    });
    assert_eq!(world.network.counts("server").delivered, 200);
}

#[test]
fn one_client_makes_twenty_calls_at_once() {
    let world = World::new();
    let replies: Vec<_> = (0..20).map(|i| world.calls.reverse(&text(&format!("{i}x")))).collect();
    for (i, reply) in replies.into_iter().enumerate() {
        let expected: String = format!("{i}x").chars().rev().collect();
        assert_eq!(reply.wait(), Ok(text(&expected)));
    }
    assert_eq!(world.network.counts("server").delivered, 20);
}

#[test]
fn on_an_unreliable_network_some_of_300_calls_succeed() {
    let world = World::new();
    world.network.set_faults(Faults::unreliable());
    let replies: Vec<_> = (0..300).map(|i| world.client(&format!("client {i}")).next(&Number(i))).collect();
    let ok = replies.into_iter().map(|reply| reply.wait()).filter(Result::is_ok).count();
    // 81 % on average; the seed decides.
    assert!((200..290).contains(&ok), "{ok} of 300");
}

/// Calls made while the client is disabled must not be delivered once it is enabled.
#[test]
fn calls_made_while_disabled_never_arrive() {
    let world = World::with(NetworkOptions { call_timeout: SOON, ..Default::default() });
    world.network.set_faults(Faults { long_delays: true, ..Faults::reliable() });
    world.network.enable(&world.client, false);
    let lost: Vec<_> = (0..20).map(|i| world.calls.next(&Number(i))).collect();
    thread::sleep(Duration::from_millis(100));
    world.network.enable(&world.client, true);
    let (reply, time) = timed(|| world.calls.next(&Number(7)).wait());
    assert_eq!(reply, Ok(Number(8)));
    assert!(time < SOON, "{time:?}");
    assert_eq!(world.network.counts("server").delivered, 1);
    for reply in lost {
        assert_eq!(reply.wait(), Err(RpcError::TimedOut));
    }
    assert_eq!(world.network.counts("server").delivered, 1);
    assert_eq!(world.started(), 1);
}

#[test]
fn a_stub_sends_at_once_and_dropping_the_future_recalls_nothing() {
    let world = World::new();
    drop(world.calls.gate(&Number(0)));
    world.tester.gates.until_waiting(1);
    world.tester.gates.open(1);
}
