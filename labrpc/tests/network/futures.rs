//! The ways to have a call's outcome, and when it comes.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::time::Duration;

use futures::executor::{ThreadPool, block_on};
use futures::future::join_all;
use futures::task::SpawnExt;
use labrpc::{NetworkOptions, RpcError, RpcFuture};

use crate::common::*;

const MS: Duration = Duration::from_millis(1);

const fn is_what_students_need<T: Future + Send + Unpin + 'static>() {}
const _: () = is_what_students_need::<RpcFuture<Number>>();

#[test]
fn futures_need_no_particular_executor() {
    let world = World::new();
    assert_eq!(block_on(world.calls.next(&Number(1))), Ok(Number(2)));
    let all = block_on(join_all((0..50).map(|i| world.calls.next(&Number(i)))));
    assert_eq!(all, (0..50).map(|i| Ok(Number(i + 1))).collect::<Vec<_>>());
    let pool = ThreadPool::builder().pool_size(2).create().unwrap();
    let handle = pool.spawn_with_handle(world.calls.gate(&Number(0))).unwrap();
    world.tester.gates.until_waiting(1);
    world.tester.gates.open(1);
    assert_eq!(block_on(handle), Ok(Number(0)));
}

#[test]
fn a_timeout_ends_the_wait_and_the_late_reply_is_discarded() {
    let world = World::new();
    let reply = world.calls.gate(&Number(0)).timeout(MS * 30);
    let (reply, time) = timed(|| reply.wait());
    assert_eq!(reply, Err(RpcError::TimedOut));
    assert!((MS * 30..SOON).contains(&time), "{time:?}");
    world.tester.gates.open(1);
    assert_eq!(world.calls.next(&Number(0)).timeout(SOON * 10).wait(), Ok(Number(1)));
    assert_eq!(world.calls.next(&Number(0)).timeout(Duration::MAX).wait(), Ok(Number(1)));
    assert_eq!(world.network.counts("server").replies, 2);
}

/// It ended sooner than a refused call, so that a loop of such calls kept a clock from moving that moves only while
/// threads wait.
#[test]
fn a_timeout_takes_the_time_of_a_refusal_at_least() {
    let world = World::new();
    world.network.intercept(|_| labrpc::Fate::Hold);
    for _ in 0..50 {
        let (reply, time) = timed(|| world.calls.next(&Number(0)).timeout(Duration::ZERO).wait());
        assert_eq!(reply, Err(RpcError::TimedOut));
        assert!((MS / 10..SOON).contains(&time), "{time:?}");
    }
}

#[test]
fn a_call_in_a_slow_handler_outlives_its_time() {
    let world = World::with(NetworkOptions { call_timeout: MS * 50, ..Default::default() });
    for reply in [world.calls.gate(&Number(0)), world.calls.async_gate(&Number(0))] {
        let opener = world.tester.gates.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(MS * 150);
            opener.open(1);
        });
        // Others time out meanwhile.
        world.network.intercept(|envelope| match envelope.method.method {
            "next" => labrpc::Fate::Hold,
            _ => labrpc::Fate::Default,
        });
        assert_eq!(world.calls.next(&Number(0)).wait(), Err(RpcError::TimedOut));
        assert_eq!(reply.wait(), Ok(Number(0)));
        thread.join().unwrap();
        world.tester.gates.open(0);
    }
}

/// The reply of a handler that ran too long is on its way when another call of the same client times out.
#[test]
fn a_slow_handlers_reply_is_not_timed_out_on_its_way() {
    let latency = MS * 200..=MS * 200;
    let options = NetworkOptions { latency, call_timeout: MS * 300, ..Default::default() };
    let world = World::with(options);
    let slow = world.calls.gate(&Number(0));
    world.tester.gates.until_waiting(1);
    world.network.intercept(|envelope| match envelope.method.method {
        "next" => labrpc::Fate::Hold,
        _ => labrpc::Fate::Default,
    });
    let other = world.calls.next(&Number(0));
    std::thread::sleep(MS * 200);
    world.tester.gates.open(1);
    assert_eq!(other.wait(), Err(RpcError::TimedOut));
    assert_eq!(slow.wait(), Ok(Number(0)));
}

#[test]
fn a_slow_handlers_reply_that_is_lost_unnoticed_still_ends_the_call() {
    let world = World::with(NetworkOptions { call_timeout: MS * 50, ..Default::default() });
    for fate in
        [labrpc::Fate::Drop(labrpc::Notice::ByTimeout), labrpc::Fate::Hold, labrpc::Fate::Delay(SOON * 20)]
    {
        world.network.intercept(move |envelope| match envelope.kind {
            labrpc::Kind::Request => labrpc::Fate::Default,
            labrpc::Kind::Reply => fate,
        });
        world.tester.gates.open(0);
        let reply = world.calls.gate(&Number(0));
        world.tester.gates.until_waiting(1);
        std::thread::sleep(MS * 100);
        let (reply, time) = timed(|| {
            world.tester.gates.open(1);
            reply.wait()
        });
        assert_eq!(reply, Err(RpcError::TimedOut));
        assert!(time < SOON, "{fate:?}: {time:?}");
    }
}

#[test]
fn callbacks_run_on_the_callers_node() {
    let world = World::new();
    let (sender, receiver) = mpsc::channel();
    let reply = world.calls.next(&Number(1));
    reply.on_reply(move |reply| {
        sender.send((reply, std::thread::current().name().map(str::to_owned))).unwrap()
    });
    let (reply, thread) = receiver.recv().unwrap();
    assert_eq!(reply, Ok(Number(2)));
    assert_eq!(thread.as_deref(), Some("rpc-0"));
    assert_eq!(world.caller.started.load(SeqCst), 1);
}

#[test]
fn a_callback_may_come_late_and_even_after_the_end() {
    let world = World::instant();
    let done = world.calls.next(&Number(1));
    let stopped = world.calls.gate(&Number(0));
    world.tester.gates.until_waiting(1);
    world.network.close(&world.client);
    let (sender, receiver) = mpsc::channel();
    let other = sender.clone();
    done.on_reply(move |reply| sender.send(reply).unwrap());
    assert_eq!(receiver.recv().unwrap(), Ok(Number(2)));
    world.caller.until_no_threads();
    stopped.on_reply(move |reply| other.send(reply).unwrap());
    assert_eq!(receiver.recv().unwrap(), Err(RpcError::Stopped));
    world.tester.gates.open(1);
}

#[test]
fn a_callback_may_panic() {
    let world = World::new();
    world.calls.next(&Number(1)).on_reply(|_| panic!("on purpose"));
    let (sender, receiver) = mpsc::channel();
    world.calls.next(&Number(1)).on_reply(move |reply| sender.send(reply).unwrap());
    assert_eq!(receiver.recv().unwrap(), Ok(Number(2)));
}
