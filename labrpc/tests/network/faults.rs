//! Faults that are drawn: each is seen to happen, as often as it should, and the same for the same seed.

use std::time::Duration;

use labrpc::{Faults, Kind, NetworkOptions, Notice, Reason, RpcError, Step};

use crate::common::*;
use crate::recorder::{Record, Recorder};

const MS: Duration = Duration::from_millis(1);
const LOSS: Step = Step::Dropped(Reason::Loss);

/// A world with a short call timeout, so that what is noticed by timeout is noticed soon.
fn world(seed: u64, faults: Faults) -> World {
    let world = World::with(NetworkOptions { seed, call_timeout: MS * 300, ..Default::default() });
    world.network.set_faults(faults);
    world
}

fn count(records: &[Record], kind: Kind, which: impl Fn(Step) -> bool) -> usize {
    records.iter().filter(|record| record.kind == kind && which(record.step)).count()
}

#[test]
fn a_lost_request_is_noticed_at_once_or_by_timeout() {
    let lossy = Faults { request_loss: 1.0, ..Faults::reliable() };
    let silent = Faults { loss_notice: Notice::ByTimeout, ..lossy.clone() };
    for (faults, error, time_range) in
        [(lossy, RpcError::Lost, MS / 10..MS * 250), (silent, RpcError::TimedOut, MS * 299..SOON)]
    {
        let world = world(0, faults);
        let recorder = Recorder::on(&world.network);
        let (reply, time) = timed(|| world.calls.next(&Number(0)).wait());
        assert_eq!(reply, Err(error));
        assert!(time_range.contains(&time), "{time:?}");
        assert_eq!(recorder.steps(), [(Kind::Request, Step::Sent), (Kind::Request, LOSS)]);
        assert_eq!(world.started(), 0);
    }
}

#[test]
fn a_lost_reply_is_noticed_at_once_or_by_timeout() {
    let lossy = Faults { reply_loss: 1.0, ..Faults::reliable() };
    let silent = Faults { loss_notice: Notice::ByTimeout, ..lossy.clone() };
    for (faults, error, time_range) in
        [(lossy, RpcError::Lost, MS / 10..MS * 250), (silent, RpcError::TimedOut, MS * 299..SOON)]
    {
        let world = world(0, faults);
        let recorder = Recorder::on(&world.network);
        let (reply, time) = timed(|| world.calls.next(&Number(0)).wait());
        assert_eq!(reply, Err(error));
        assert!(time_range.contains(&time), "{time:?}");
        assert_eq!(recorder.steps()[2..], [(Kind::Reply, Step::Sent), (Kind::Reply, LOSS)]);
        assert_eq!(world.started(), 1);
        assert_eq!(world.network.counts("server").reply_bytes, 0);
    }
}

#[test]
fn one_of_ten_messages_is_lost_each_way() {
    let world = world(1, Faults { request_delay_max: Duration::ZERO, ..Faults::unreliable() });
    let recorder = Recorder::on(&world.network);
    let replies: Vec<_> = (0..2000).map(|i| world.calls.next(&Number(i))).collect();
    let ok = replies.into_iter().map(|reply| reply.wait()).filter(Result::is_ok).count();
    let records = recorder.records();
    let requests = count(&records, Kind::Request, |step| step == LOSS);
    let lost_replies = count(&records, Kind::Reply, |step| step == LOSS);
    assert!((150..250).contains(&requests), "{requests}");
    assert!((140..220).contains(&lost_replies), "{lost_replies}");
    assert_eq!(ok, 2000 - requests - lost_replies);
    recorder.check_conservation();
}

#[test]
fn a_duplicated_request_runs_its_handler_twice_and_gets_one_reply() {
    let world = world(0, Faults { duplicate: 1.0, ..Faults::reliable() });
    let recorder = Recorder::on(&world.network);
    assert_eq!(world.calls.next(&Number(1)).wait(), Ok(Number(2)));
    let ends = recorder.until_ends(4);
    let records = recorder.records();
    assert_eq!(records[1].step, Step::Duplicated { of: records[0].id });
    assert_eq!(world.started(), 2);
    let counts = world.network.counts("server");
    assert_eq!((counts.calls, counts.delivered, counts.replies), (1, 2, 1));
    let over = Step::Dropped(Reason::CallOver);
    assert_eq!(ends.iter().filter(|end| end.step == over).count(), 1, "{ends:?}");
    recorder.check_conservation();
}

#[test]
fn requests_are_delayed_as_told() {
    let range = MS * 50..=MS * 60;
    let faults = Faults {
        request_delay_max: MS * 20,
        long_request_delay: 1.0,
        long_request_delay_range: range.clone(),
        ..Faults::reliable()
    };
    let world = world(0, faults);
    let recorder = Recorder::on(&world.network);
    let (reply, time) = timed(|| world.calls.next(&Number(1)).wait());
    assert_eq!(reply, Ok(Number(2)));
    assert!(time >= MS * 51, "{time:?}");
    let Step::Delayed(by) = recorder.records()[1].step else { panic!("{:?}", recorder.steps()) };
    assert!((MS * 50..=MS * 80).contains(&by), "{by:?}");
}

/// The one documented case in which a reply arrives across a cut, and even a crash, of its server.
#[test]
fn a_reordered_reply_arrives_across_a_cut_and_a_crash() {
    let world = World::new();
    let recorder = Recorder::on(&world.network);
    world.network.set_faults(Faults { long_reordering: true, ..Faults::reliable() });
    let replies: Vec<_> = (0..30).map(|i| (i, world.calls.next(&Number(i)))).collect();
    let delayed = |record: &Record| record.kind == Kind::Reply && matches!(record.step, Step::Delayed(_));
    let started = |record: &Record| record.kind == Kind::Reply && record.step == Step::Sent;
    until(|| recorder.records().iter().filter(|record| started(record)).count() == 30);
    until(|| {
        let records = recorder.records();
        let prompt = count(&records, Kind::Reply, |step| step == Step::Delivered);
        prompt + records.iter().filter(|record| delayed(record)).count() >= 30
    });
    world.network.enable(&world.client, false);
    world.network.delete_server("server");
    let held = recorder.records().into_iter().filter(delayed).count();
    assert!((10..30).contains(&held), "{held}");
    for (i, reply) in replies {
        assert_eq!(reply.wait(), Ok(Number(i + 1)));
    }
    recorder.check_conservation();
}

#[test]
fn a_single_link_can_be_flaky() {
    let world = World::new();
    let flaky = world.network.client("flaky", "server", world.caller.clone());
    world.network.enable(&flaky, true);
    let lossy = Faults { request_loss: 1.0, ..Faults::reliable() };
    world.network.set_link_faults(&flaky, Some(lossy.clone()));
    let calls = TestClient::new(flaky.clone());
    assert_eq!(calls.next(&Number(0)).wait(), Err(RpcError::Lost));
    assert_eq!(world.calls.next(&Number(0)).wait(), Ok(Number(1)));
    world.network.set_faults(Faults::reliable());
    assert_eq!(calls.next(&Number(0)).wait(), Err(RpcError::Lost), "it keeps its own");
    world.network.set_link_faults(&flaky, None);
    assert_eq!(calls.next(&Number(0)).wait(), Ok(Number(1)));
    world.network.set_faults(lossy);
    assert_eq!(calls.next(&Number(0)).wait(), Err(RpcError::Lost));
    assert_eq!(world.client("later").next(&Number(0)).wait(), Err(RpcError::Lost));
}

/// What was drawn for each call of two clients, as far as it does not depend on real time.
fn draws(seed: u64, busy: bool) -> Vec<Vec<Step>> {
    let faults = Faults {
        duplicate: 0.2,
        long_request_delay: 0.2,
        long_request_delay_range: MS..=MS * 5,
        request_delay_max: MS,
        ..Faults::unreliable()
    };
    let world = world(seed, faults);
    let recorder = Recorder::on(&world.network);
    let second = world.client("second");
    let noise = world.client("noise");
    let mut replies = Vec::new();
    for i in 0..40 {
        if busy {
            replies.push(noise.next(&Number(i)));
        }
        replies.push(world.calls.next(&Number(i)));
        replies.push(second.next(&Number(i)));
    }
    replies.into_iter().for_each(|reply| drop(reply.wait()));
    ["client", "second"]
        .map(|from| {
            let of = |record: &Record| record.from == from && record.kind == Kind::Request;
            let drawn = |step: &Step| matches!(step, Step::Delayed(_)) || *step == LOSS;
            recorder.records().into_iter().filter(of).map(|record| record.step).filter(drawn).collect()
        })
        .into()
}

#[test]
fn the_same_seed_draws_the_same_whatever_other_links_do() {
    let drawn = draws(7, false);
    assert!(drawn.iter().all(|steps| steps.len() > 30));
    assert_eq!(draws(7, false), drawn);
    assert_eq!(draws(7, true), drawn);
    assert_ne!(draws(8, false), drawn);
    assert_ne!(drawn[0], drawn[1], "each link has its own");
}
