//! A run that passes by its own account although it has recorded that a rule was broken: whoever looks at the record in
//! another process objects.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use labnode::State;
use labrpc::{AnyMessage, Method, Network, NetworkOptions, Service};
use labtest::events::{Content, RequestVote, RequestVoteReply};
use labtest::{Cluster, Node, Seat};

#[global_allocator]
static ALLOC: labtest::Alloc = labtest::Alloc;

labrpc::service! {
    /// Votes for anybody, in any term.
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
        (Some(&term), _) => Content::RequestVote(RequestVote { term, last_log_index: 0, last_log_term: 0 }),
        (_, Some(&granted)) => Content::RequestVoteReply(RequestVoteReply { term: 7, granted }),
        _ => Content::Other,
    }
}

/// Two candidates ask one server for its vote in one term.
#[test]
fn votes_twice() {
    if std::env::var_os("LABSIM_JUDGE").is_none() {
        return;
    }
    labtest::run(|run| {
        let voter = |seat: Seat| Voter { peers: seat.peers.into_iter().map(VoterClient::new).collect() };
        let cluster = Cluster::new(run, Network::new(NetworkOptions::default()), 3, voter);
        cluster.watch(neutral);
        (0..3).for_each(|server| cluster.start(server));
        (0..3).for_each(|server| cluster.connect(server));
        for candidate in [0, 1] {
            let (node, _) = cluster.node(candidate).unwrap();
            assert_eq!(node.peers[2].vote(&7).wait(), Ok(true));
        }
    });
}

/// What a grader is told of one seed: what became of it, and why. In the run itself no oracle watches.
fn judged(reviewed: bool) -> (u64, String) {
    const NONCE: &[u8; 16] = b"sixteen bytes...";
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "votes_twice"]).env("LABSIM_JUDGE", "1").env("LAB_WITHOUT", "all");
    if reviewed {
        command.env("LABSIM_REVIEW", "1");
    }
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let seeds = [1_u64, 5].into_iter().flat_map(u64::to_le_bytes);
    ours.write_all(&NONCE.iter().copied().chain(seeds).collect::<Vec<_>>()).unwrap();
    let mut answer = Vec::new();
    ours.read_to_end(&mut answer).unwrap();
    child.wait().unwrap();
    let number = |at: usize| u64::from_le_bytes(answer[16 + 8 * at..][..8].try_into().unwrap());
    let text = String::from_utf8_lossy(&answer[56..][..number(3) as usize]).into_owned();
    (number(0), text)
}

#[test]
fn a_verdict_that_the_record_contradicts_is_none() {
    let (became, text) = judged(false);
    assert_eq!(became, 0, "the run does not object: {text}");
    let (became, text) = judged(true);
    assert_eq!(became, 1, "{text}");
    for part in ["passed by its own account", "voted twice in term 7", "rule one-vote-per-term: "] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}
