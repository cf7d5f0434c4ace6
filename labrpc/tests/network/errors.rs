//! What goes wrong in a message or a handler comes back to the caller as what it is.

use std::time::Duration;

use labcodec::{DecodeError, EncodeError};
use labrpc::{Method, NetworkOptions, Reason, RpcError, Step};

use crate::common::*;
use crate::recorder::Recorder;

#[test]
fn garbage_arguments_come_back_as_a_decode_error() {
    static LETTERS: Method = Method::new::<Number, Text>("test", "letters");
    static NEXT: Method = Method::new::<Number, Number>("test", "next");
    for world in [World::new(), World::instant()] {
        for method in [&LETTERS, &NEXT] {
            for garbage in [vec![], vec![1, 2, 3], vec![0xff; 9]] {
                let reply = world.client.call_raw(method, garbage).wait();
                assert!(matches!(reply, Err(RpcError::Decode(_))), "{reply:?}");
            }
        }
        assert_eq!(world.started(), 0);
        assert_eq!(world.calls.next(&Number(1)).wait(), Ok(Number(2)), "the server goes on");
    }
}

#[test]
fn a_garbage_reply_is_a_decode_error() {
    static LETTERS: Method = Method::new::<Number, Number>("test", "letters");
    let world = World::new();
    let reply = world.client.call::<_, Number>(&LETTERS, &Number(1)).wait();
    assert!(matches!(reply, Err(RpcError::Decode(DecodeError::TrailingBytes { .. }))), "{reply:?}");
}

#[test]
fn a_missing_method_or_service_is_said_to_be_missing() {
    static METHOD: Method = Method::new::<Number, Number>("test", "no such method");
    static SERVICE: Method = Method::new::<Number, Number>("no such service", "next");
    let world = World::new();
    for method in [&METHOD, &SERVICE] {
        let reply = world.client.call::<_, Number>(method, &Number(1)).wait();
        assert_eq!(reply, Err(RpcError::NoSuchMethod));
    }
}

#[test]
fn an_oversized_message_is_an_encode_error_on_either_side() {
    let world = World::with(NetworkOptions { max_message_bytes: 1000, ..Default::default() });
    let too_large = RpcError::Encode(EncodeError::TooLarge { limit: 1000 });
    assert_eq!(world.calls.reverse(&text(&"x".repeat(992))).wait(), Ok(text(&"x".repeat(992))));

    let (reply, time) = timed(|| world.calls.reverse(&text(&"x".repeat(993))).wait());
    assert_eq!(reply, Err(too_large.clone()));
    assert!(time >= Duration::from_micros(100), "even that takes time: {time:?}");
    assert_eq!(world.network.total().calls, 1, "it was not sent");

    assert_eq!(world.calls.letters(&Number(993)).wait(), Err(too_large.clone()));
    static RAW: Method = Method::new::<Text, Text>("test", "reverse");
    assert_eq!(world.client.call_raw(&RAW, vec![0; 1001]).wait(), Err(too_large));
}

#[test]
fn a_panicking_handler_loses_the_call_and_nothing_else() {
    for world in [World::new(), World::instant()] {
        let recorder = Recorder::on(&world.network);
        assert_eq!(world.calls.panic(&Number(0)).wait(), Err(RpcError::Lost));
        assert_eq!(world.calls.async_panic(&Number(0)).wait(), Err(RpcError::Lost));
        let ends = recorder.until_ends(4);
        assert_eq!(ends[1].step, Step::Dropped(Reason::Panicked));
        assert_eq!(ends[3].step, Step::Dropped(Reason::Panicked));
        assert_eq!(world.calls.reverse(&text("ab")).wait(), Ok(text("ba")));
        recorder.check_conservation();
    }
}

#[test]
fn a_handler_that_returns_stopped_gives_no_answer() {
    let world = World::new();
    let recorder = Recorder::on(&world.network);
    assert_eq!(world.calls.refuse(&Number(0)).wait(), Err(RpcError::TimedOut));
    assert_eq!(recorder.until_ends(2)[1].step, Step::Dropped(Reason::Unanswered));
}

#[test]
fn bad_options_are_refused_with_their_names() {
    let ms = Duration::from_millis;
    let zero = Duration::ZERO;
    let base = NetworkOptions::default;
    for (name, options) in [
        ("latency", NetworkOptions { latency: ms(2)..=ms(1), ..base() }),
        ("call_timeout", NetworkOptions { call_timeout: Duration::MAX, ..base() }),
        ("linger", NetworkOptions { linger: ms(1), ..base() }),
    ] {
        let refused = std::panic::catch_unwind(|| labrpc::Network::new(options)).err().expect("accepted");
        let text = refused.downcast_ref::<String>().expect("a message");
        assert!(text.starts_with(&format!("NetworkOptions::{name} is ")), "{text}");
    }
    drop(labrpc::Network::new(NetworkOptions { latency: zero..=zero, linger: ms(1), ..base() }));
}
