//! [`Tap`]: turns what a network's observer sees into events of the stream.

use labrpc::{AnyMessage, Event, Method, Observer};

use crate::run::Run;

/// Watches a network for a run.
pub(crate) struct Tap {
    run: Run,
    neutral: fn(&Method, &dyn AnyMessage) -> super::Content,
}

impl Tap {
    /// `neutral` says what a message means.
    pub(crate) fn new(run: &Run, neutral: fn(&Method, &dyn AnyMessage) -> super::Content) -> Tap {
        Tap { run: run.clone(), neutral }
    }
}

impl Observer for Tap {
    fn observe(&self, event: &Event<'_>) {
        let promise = self.run.note(|events, at| events.message(at, event, self.neutral));
        if let Some((promise, hook)) = promise {
            hook(&promise, event.envelope.args);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use labnode::State;
    use labrpc::{Network, NetworkOptions, Service};
    use parking_lot::Mutex;

    use super::*;
    use crate::events::{Content, Promised, RequestVote, RequestVoteReply, What};
    use crate::runner::{self, LIMITS};
    use crate::{Cluster, Node, Seat};

    labrpc::service! {
        /// Votes for anybody.
        service "voter" {
            trait VoterService; client VoterClient;
            rpc vote(u64) -> bool;
        }
    }

    #[derive(Clone)]
    struct Voter {
        peers: Vec<VoterClient>,
    }

    impl VoterService for Voter {
        fn vote(&self, _term: u64) -> labrpc::Result<bool> {
            Ok(true)
        }
    }

    impl Node for Voter {
        fn services(&self) -> Vec<Service> {
            vec![self.clone().into_service()]
        }

        fn state(&self) -> State {
            State { term: 7, is_leader: false }
        }

        fn kill(&self) {}
    }

    fn neutral(_: &Method, message: &dyn AnyMessage) -> Content {
        match (message.downcast_ref::<u64>(), message.downcast_ref::<bool>()) {
            (Some(&term), _) => {
                Content::RequestVote(RequestVote { term, last_log_index: 0, last_log_term: 0 })
            }
            (_, Some(&granted)) => Content::RequestVoteReply(RequestVoteReply { term: 7, granted }),
            _ => Content::Other,
        }
    }

    fn voter(seat: Seat) -> Voter {
        Voter { peers: seat.peers.into_iter().map(VoterClient::new).collect() }
    }

    fn cluster(run: &Run) -> Cluster<Voter> {
        let cluster = Cluster::new(run, Network::new(NetworkOptions::default()), 3, voter);
        cluster.watch(neutral);
        (0..3).for_each(|server| cluster.start(server));
        (0..3).for_each(|server| cluster.connect(server));
        cluster
    }

    fn ask(cluster: &Cluster<Voter>, from: usize, to: usize) -> labrpc::Result<bool> {
        cluster.node(from).expect("it is alive").0.peers[to].vote(&7).wait()
    }

    #[test]
    fn a_broken_rule_ends_the_run_at_once_and_is_named_in_the_report() {
        let outcome = runner::tests::in_real_time(LIMITS, |run| {
            let cluster = cluster(run);
            for candidate in [0, 1] {
                // The second answer may not arrive any more.
                let _ = ask(&cluster, candidate, 2);
            }
            run.sleep(Duration::from_secs(100));
        });
        let report = outcome.expect_err("the run passed");
        let part = "server 2 voted twice in term 7: for server 0 and for server 1\nrule one-vote-per-term: ";
        assert!(report.contains(part), "{part:?} is missing in: {report}");
    }

    #[test]
    fn what_happens_to_a_cluster_is_in_the_stream_and_promises_are_told() {
        let outcome = runner::tests::in_real_time(LIMITS, |run| {
            let promises = Arc::new(Mutex::new(Vec::new()));
            let theirs = promises.clone();
            run.on_promise(move |promise, request| theirs.lock().push((*promise, request.to_vec())));
            let cluster = cluster(run);
            assert_eq!(ask(&cluster, 0, 2), Ok(true));
            cluster.state(2);
            cluster.crash(2);
            let told: Vec<_> = promises
                .lock()
                .iter()
                .map(|(it, request)| (it.life.server, it.what, request.clone()))
                .collect();
            let request = 7_u64.to_le_bytes().to_vec();
            assert_eq!(told, [(2, Promised::Vote { term: 7, candidate: 0 }, request)]);
            let kinds: Vec<&str> = run.events(|events| {
                let kind = |what: &What| match what {
                    What::Start { .. } => "start",
                    What::Crash { .. } => "crash",
                    What::Message(_) => "message",
                    What::State { .. } => "state",
                    What::Links { .. } => "links",
                    _ => "other",
                };
                events.kept().map(|event| kind(&event.what)).collect()
            });
            assert_eq!(kinds[..6], ["start", "start", "start", "links", "links", "links"]);
            // The request and its reply, sent and delivered.
            assert_eq!(kinds[6..], ["message", "message", "message", "message", "state", "crash", "links"]);
        });
        outcome.unwrap();
    }
}
