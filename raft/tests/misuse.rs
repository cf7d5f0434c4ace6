//! Wrong use and hostile input: what is promised for each, and that no harm is done beyond it.

use std::sync::Arc;
use std::time::Duration;

use labrpc::{
    Client, Event, Kind, Message, Method, Network, NetworkOptions, Observer, RpcError, Server, Service, Step,
    Threads,
};
use labtest::{panic_message, rules, show};
use parking_lot::Mutex;
use raft::{AppendEntriesArgs, InstallSnapshotArgs, NotLeader, Persister, Raft, RaftClient, RequestVoteArgs};

use crate::config::{Config, ELECTION, Net, raft_test};

/// The longest command that `start` must take.
const MAX_COMMAND_BYTES: usize = 1 << 20;

/// Enough for a server to save what it was given: `snapshot` need not wait for the disk.
const A_WHILE: Duration = Duration::from_millis(500);

/// A server must not run on persisted state that it cannot read: it might vote twice, or forget what it has
/// promised.
#[test]
fn corrupt_persisted_state_is_refused() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one(100, 3);
        cfg.crash(1);
        let state = cfg.disk(1).state();
        cfg.check(!state.is_empty(), || {
            "server 1 has applied a command, but its disk holds no state".to_string()
        });
        let cut_short = state[..state.len() - 1].to_vec();
        for damaged in [cut_short, vec![0xff; 64]] {
            let disk = Persister::new();
            disk.save(damaged, None);
            // Numbers that stand in a message for nothing else.
            let message = panic_of_new(41, 37, disk);
            cfg.check(names(&message, 37), || {
                format!("the panic must name the server, which is 37, but says: {message}")
            });
        }
    });
}

#[test]
fn a_position_that_is_no_peer_is_refused() {
    labtest::run(|_| {
        for (peers, me) in [(3, 3), (3, 7)] {
            let message = panic_of_new(peers, me, Persister::new());
            assert!(names(&message, me), "the position {me} is not named: {message}");
        }
        panic_of_new(0, 0, Persister::new());
    });
}

/// Whether a message names a number, however it puts the rest.
fn names(message: &str, number: usize) -> bool {
    message.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.parse() == Ok(number))
}

#[test]
fn a_number_is_named_only_as_a_whole() {
    assert!(names("server 37: expected", 37) && names("me=37", 37));
    assert!(!names("371 bytes, 137 records, 3 and 7", 37) && !names("", 37));
}

/// The message with which `Raft::new` panics, as it must.
#[track_caller]
fn panic_of_new(peers: usize, me: usize, disk: Persister) -> String {
    let network = Network::new(NetworkOptions::default());
    let client = |to| RaftClient::new(network.client("new", &format!("server {to}"), Arc::new(Threads)));
    let peers: Vec<RaftClient> = (0..peers).map(client).collect();
    let (apply, _messages) = crossbeam_channel::bounded(0);
    match panic_message(|| drop(Raft::new(peers, me, disk, apply))) {
        Some(message) => message,
        None => panic!("Raft::new accepted what it must refuse"),
    }
}

#[test]
fn a_killed_server_is_no_leader_and_ignores_snapshots() {
    raft_test(1, Net::Reliable, |cfg| {
        cfg.one(100, 1);
        let raft = cfg.raft(0);
        let disk = cfg.disk(0);
        raft.kill();
        raft.kill();
        assert_eq!(raft.start(b"101".to_vec()), Err(NotLeader));
        // Neither one that it could take nor one out of range.
        raft.snapshot(1, b"snapshot".to_vec());
        raft.snapshot(99, b"snapshot".to_vec());
        cfg.sleep(A_WHILE);
        assert_eq!(disk.snapshot_size(), 0);
    });
}

/// Also those that wait for the reply of a server out of reach, which may take 7 s.
#[test]
fn killed_threads_end_2C() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one(100, 3);
        let leader = cfg.check_one_leader();
        cfg.phase("cut the leader off: its calls go nowhere, and the others elect another");
        cfg.disconnect(leader);
        let _ = cfg.start(leader, 200);
        cfg.sleep(ELECTION);
        cfg.phase("kill all");
        cfg.all().for_each(|server| cfg.kill(server));
        cfg.sleep(Duration::from_secs(10));
        cfg.check_killed_threads_ended();
    });
}

/// What a server knows is on its disk and nowhere else. A `static` outlives a simulated crash, but no real one.
#[test]
fn nothing_but_the_disk_2C() {
    raft_test(3, Net::Reliable, |cfg| {
        const LETTERS: usize = 100;
        const COMMANDS: usize = 20;
        cfg.phase("commands that no server can store in fewer bytes");
        (0..COMMANDS).for_each(|_| {
            cfg.one(cfg.random_text(LETTERS), 3);
        });
        // Who saves a while after it applies may.
        cfg.sleep(ELECTION);
        for server in cfg.all() {
            let disk = cfg.disk(server);
            let bytes = disk.state_size() + disk.snapshot_size();
            // A letter of 26 tells 4.7 bits.
            cfg.check_under(&rules::PERSIST_BEFORE_ANSWER, 2 * bytes >= LETTERS * COMMANDS, || {
                format!(
                    "server {server} has applied {COMMANDS} commands of {LETTERS} random letters each, and its disk \
                     holds {bytes} bytes: the log must be there, and whole (figure 2, log[])"
                )
            });
        }

        cfg.phase("two elections");
        for command in 1..=2 {
            let leader = cfg.check_one_leader();
            cfg.disconnect(leader);
            cfg.one_retry(command, 2);
            cfg.connect(leader);
        }
        cfg.one_retry(3, 3);

        cfg.phase("another cluster in the same process, on empty disks");
        cfg.check_begins_anew();
    });
}

#[test]
fn a_snapshot_beyond_what_was_applied_panics_and_an_old_one_is_ignored() {
    raft_test(3, Net::Reliable, |cfg| {
        for index in 1..=3 {
            cfg.one_at(index, 100 * index, 3);
        }
        let (raft, disk) = (cfg.raft(0), cfg.disk(0));
        let message = panic_message(|| raft.snapshot(4, b"too new".to_vec()));
        cfg.check(message.as_ref().is_some_and(|text| names(text, 4) && names(text, 3)), || {
            format!("snapshot(4) after index 3 must panic and name both, but: {message:?}")
        });
        cfg.sleep(A_WHILE);
        assert_eq!(disk.snapshot_size(), 0);

        raft.snapshot(2, b"at 2".to_vec());
        cfg.check_saved(&disk, b"at 2");
        raft.snapshot(2, b"again".to_vec());
        raft.snapshot(1, b"older".to_vec());
        cfg.sleep(A_WHILE);
        assert_eq!(disk.snapshot(), b"at 2");
        cfg.one_at(4, 400, 3);
    });
}

#[test]
fn a_command_above_the_limit_panics_and_one_at_the_limit_does_not() {
    raft_test(3, Net::Reliable, |cfg| {
        let leader = cfg.check_one_leader();
        let raft = cfg.raft(leader);
        let message = panic_message(|| {
            let _ = raft.start(vec![b'x'; MAX_COMMAND_BYTES + 1]);
        });
        let named = |n| message.as_ref().is_some_and(|text| names(text, n));
        cfg.check(named(MAX_COMMAND_BYTES) && named(MAX_COMMAND_BYTES + 1), || {
            format!("start() must panic naming the size and the limit of a command, but: {message:?}")
        });
        cfg.one_at(1, "x".repeat(MAX_COMMAND_BYTES), 3);
        cfg.one_at(2, "y", 3);
    });
}

/// Requests that cannot be decoded are answered with an error and change nothing.
#[test]
fn garbage_requests_do_no_harm() {
    static NO_SUCH: Method = Method::new::<(), ()>("raft", "no_such_procedure");
    raft_test(3, Net::Reliable, |cfg| {
        let overheard = Overheard::listen(cfg);
        cfg.one(100, 3);
        let stranger = cfg.stranger(0);
        for (method, bytes) in overheard.requests() {
            let mut garbage: Vec<Vec<u8>> = (0..bytes.len()).map(|len| bytes[..len].to_vec()).collect();
            garbage.push([bytes.as_slice(), &[0]].concat());
            for bytes in garbage {
                let len = bytes.len();
                let answer = stranger.call_raw(method, bytes).wait();
                cfg.check(matches!(answer, Err(RpcError::Decode(_))), || {
                    format!("{method} with {len} bytes of garbage was answered with {answer:?}")
                });
            }
        }
        assert_eq!(stranger.call_raw(&NO_SUCH, Vec::new()).wait(), Err(RpcError::NoSuchMethod));
        cfg.one(200, 3);
    });
}

/// A peer whose replies cannot be decoded is as good as one that does not reply.
#[test]
fn garbage_replies_do_no_harm() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.phase("server 2 is replaced by one that answers nonsense");
        cfg.crash(2);
        let nonsense = Service::new("raft")
            .plain("request_vote", |_: RequestVoteArgs| Ok(()))
            .plain("append_entries", |_: AppendEntriesArgs| Ok([u64::MAX; 8]))
            .plain("install_snapshot", |_: InstallSnapshotArgs| Ok(()));
        let mut impostor = Server::new("server 2", Arc::new(Threads));
        impostor.add(nonsense);
        cfg.network().add_server(impostor);
        cfg.connect(2);
        let leader = cfg.check_one_leader();
        cfg.one_retry(100, 2);

        cfg.phase("the other server is cut off: nonsense is no vote and no acknowledgement");
        let other = 1 - leader;
        cfg.disconnect(other);
        let index = cfg.start_on_leader(leader, 200).index;
        cfg.sleep(Duration::from_secs(1));
        cfg.check_applied_nowhere(index);

        cfg.phase("the real one is back");
        cfg.restart(2);
        cfg.connect(2);
        cfg.connect(other);
        cfg.one_retry(300, 3);
    });
}

/// Well-formed messages with absurd fields crash nobody and commit nothing. A panic in a handler ends the run by itself; an
/// answer there need not be: requests for votes may be dropped while there is a leader (section 4.2.3 of the thesis).
#[test]
fn absurd_fields_do_no_harm() {
    raft_test(3, Net::Reliable, |cfg| {
        let overheard = Overheard::listen(cfg);
        cfg.one(100, 3);
        let leader = cfg.check_one_leader();
        for server in cfg.all() {
            cfg.phase(format!("absurd requests to server {server}"));
            let stranger = RaftClient::new(cfg.stranger(server));
            let mut votes: RequestVoteArgs = overheard.last("request_vote");
            for (candidate, index) in [(99, u64::MAX), (usize::MAX, 0)] {
                (votes.candidate_id, votes.last_log_index) = (candidate, index);
                let _ = stranger.request_vote(&votes).wait();
            }
            // A second leader in one term is no absurd field but a broken promise: spare the leader that.
            if server != leader {
                let mut entries: AppendEntriesArgs = overheard.last("append_entries");
                for (leader_id, prev_log_index, leader_commit) in [
                    (99, entries.prev_log_index, u64::MAX),
                    (usize::MAX, u64::MAX, u64::MAX),
                    (99, u64::MAX - 1, 0),
                ] {
                    (entries.leader_id, entries.leader_commit) = (leader_id, leader_commit);
                    entries.prev_log_index = prev_log_index;
                    let _ = stranger.append_entries(&entries).wait();
                }
            }
        }
        cfg.phase("all goes on");
        cfg.check_applied_nowhere(2);
        cfg.one_retry(200, 3);
    });
}

/// The last request of each kind that went over the network: messages that the code under test made, to be
/// changed and sent again.
#[derive(Default)]
struct Overheard {
    requests: Mutex<Vec<(&'static Method, Vec<u8>)>>,
}

impl Overheard {
    fn listen(cfg: &Config) -> Arc<Overheard> {
        let overheard = Arc::new(Overheard::default());
        cfg.network().observe(overheard.clone());
        overheard
    }

    fn requests(&self) -> Vec<(&'static Method, Vec<u8>)> {
        self.requests.lock().clone()
    }

    fn last<T: Message>(&self, method: &str) -> T {
        let requests = self.requests.lock();
        let (_, bytes) =
            requests.iter().find(|(its, _)| its.method == method).expect("no such request was sent");
        labcodec::decode(bytes).expect("the request was sent by a stub")
    }
}

impl Observer for Overheard {
    fn observe(&self, event: &Event<'_>) {
        let envelope = &event.envelope;
        if let (Kind::Request, Step::Sent, Some(bytes)) = (envelope.kind, event.step, envelope.bytes) {
            let mut requests = self.requests.lock();
            requests.retain(|(method, _)| method.method != envelope.method.method);
            requests.push((envelope.method, bytes.to_vec()));
        }
    }
}

impl Config {
    /// Fails unless a snapshot comes to stand on a disk within some seconds.
    #[track_caller]
    fn check_saved(&self, disk: &Persister, snapshot: &[u8]) {
        for _ in 0..10 {
            if disk.snapshot() == snapshot {
                return;
            }
            self.sleep(A_WHILE);
        }
        self.fail(format!(
            "5 s after snapshot() was given {}, the disk holds {}",
            show(snapshot),
            show(&disk.snapshot())
        ))
    }

    /// A client of `server` that is none of its peers.
    fn stranger(&self, server: usize) -> Client {
        let client = self.network().client("stranger", &format!("server {server}"), Arc::new(Threads));
        self.network().enable(&client, true);
        client
    }
}
