//! [`Clerk`]: a client of the service.

use std::thread;
use std::time::Duration;

use crate::messages::{KvClient, Op, Reply, Request, RequestId};

/// How long a clerk waits for an answer before it asks another server. An operation takes a few milliseconds,
/// and up to a few tenths of a second when messages are lost; a leader that has lost its majority never answers.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a clerk pauses when no server has led: an election takes several times as long.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// The greatest length of key and value together, in bytes: what Raft takes as a command, less what comes with it.
pub const MAX_OP_BYTES: usize = (1 << 20) - 64;

/// A client of the service. It has one operation under way at a time, which `&mut self` sees to.
///
/// Each operation is executed exactly once, however often the clerk must ask for it. None of them returns before it
/// has been executed, however long that takes: a clerk that reaches no majority of the servers waits.
#[derive(Debug)]
pub struct Clerk {
    servers: Vec<KvClient>,
    /// The server that answered last: probably still the leader.
    leader: usize,
    id: u64,
    /// The number of the last operation.
    seq: u64,
}

impl Clerk {
    /// A clerk that reaches the servers through `servers`, in any order.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(servers: Vec<KvClient>) -> Clerk {
        assert!(!servers.is_empty(), "Clerk::new: a clerk needs at least one server, `servers` is empty");
        Clerk { servers, leader: 0, id: rand::random(), seq: 0 }
    }

    /// The value of `key`, empty if it has none.
    pub fn get(&mut self, key: &str) -> String {
        self.execute(Op::Get { key: key.to_owned() })
    }

    /// Gives `key` the value `value`.
    ///
    /// # Panics
    /// If both together are longer than [`MAX_OP_BYTES`].
    pub fn put(&mut self, key: &str, value: &str) {
        check_size(key, value);
        self.execute(Op::Put { key: key.to_owned(), value: value.to_owned() });
    }

    /// Adds `value` to the end of the value of `key`.
    ///
    /// # Panics
    /// If both together are longer than [`MAX_OP_BYTES`].
    pub fn append(&mut self, key: &str, value: &str) {
        check_size(key, value);
        self.execute(Op::Append { key: key.to_owned(), value: value.to_owned() });
    }

    /// Asks one server after the other, the probable leader first, until one has executed `op`.
    fn execute(&mut self, op: Op) -> String {
        self.seq += 1;
        let request = Request { id: RequestId { client: self.id, seq: self.seq }, op };
        loop {
            for _ in 0..self.servers.len() {
                let answer = self.servers[self.leader].execute(&request).timeout(ANSWER_TIMEOUT).wait();
                if let Ok(Reply::Done(value)) = answer {
                    return value;
                }
                // Not the leader, or not to be reached. Whatever it was, the next one may be better.
                self.leader = (self.leader + 1) % self.servers.len();
            }
            thread::sleep(ROUND_PAUSE);
        }
    }
}

fn check_size(key: &str, value: &str) {
    let bytes = key.len() + value.len();
    assert!(
        bytes <= MAX_OP_BYTES,
        "Clerk: a key and value of {bytes} bytes are above the limit of {MAX_OP_BYTES}"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use labrpc::{Network, NetworkOptions, RpcError, Server, Spawn, Threads};
    use parking_lot::Mutex;

    use super::*;
    use crate::messages::KvService;

    /// A server that answers as told, for as long as its list lasts, and as the last one of it from then on.
    #[derive(Clone)]
    struct Fake {
        answers: Arc<Mutex<Vec<Answer>>>,
        asked: Arc<Mutex<Vec<Request>>>,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Answer {
        Done,
        WrongLeader,
        /// It executes the request, but the answer is lost.
        Lost,
        /// It takes longer to answer than a clerk waits.
        Late,
    }

    impl KvService for Fake {
        fn execute(&self, request: Request) -> labrpc::Result<Reply> {
            self.asked.lock().push(request);
            let answer = {
                let mut answers = self.answers.lock();
                if answers.len() > 1 { answers.remove(0) } else { answers[0] }
            };
            match answer {
                Answer::Done => Ok(Reply::Done("value".to_owned())),
                Answer::WrongLeader => Ok(Reply::WrongLeader),
                Answer::Lost => Err(RpcError::Lost),
                Answer::Late => {
                    thread::sleep(2 * ANSWER_TIMEOUT);
                    Ok(Reply::WrongLeader)
                }
            }
        }
    }

    struct Service {
        _network: Network,
        clients: Vec<KvClient>,
        fakes: Vec<Fake>,
    }

    impl Service {
        fn new(servers: &[&[Answer]]) -> Service {
            let network = Network::new(NetworkOptions::default());
            let (mut clients, mut fakes) = (Vec::new(), Vec::new());
            for (number, answers) in servers.iter().enumerate() {
                let fake = Fake { answers: Arc::new(Mutex::new(answers.to_vec())), asked: Arc::default() };
                let (name, node): (String, Arc<dyn Spawn>) = (number.to_string(), Arc::new(Threads));
                let mut server = Server::new(&name, node.clone());
                server.add(fake.clone().into_service());
                network.add_server(server);
                let client = network.client("clerk", &name, node);
                network.enable(&client, true);
                clients.push(KvClient::new(client));
                fakes.push(fake);
            }
            Service { _network: network, clients, fakes }
        }

        fn clerk(&self) -> Clerk {
            Clerk::new(self.clients.clone())
        }

        /// How often each server has been asked.
        fn asked(&self) -> Vec<usize> {
            self.fakes.iter().map(|fake| fake.asked.lock().len()).collect()
        }
    }

    #[test]
    fn a_clerk_looks_for_the_leader_and_remembers_it() {
        let service = Service::new(&[&[Answer::WrongLeader], &[Answer::WrongLeader], &[Answer::Done]]);
        let mut clerk = service.clerk();
        assert_eq!(clerk.get("k"), "value");
        assert_eq!(service.asked(), [1, 1, 1]);
        clerk.put("k", "v");
        clerk.append("k", "v");
        assert_eq!(service.asked(), [1, 1, 3]);
    }

    #[test]
    fn a_leader_that_was_deposed_is_left() {
        let old = [Answer::Done, Answer::WrongLeader];
        let service = Service::new(&[&old, &[Answer::Done]]);
        let mut clerk = service.clerk();
        clerk.get("k");
        clerk.get("k");
        clerk.get("k");
        assert_eq!(service.asked(), [2, 2]);
    }

    #[test]
    fn asking_again_is_the_same_request_and_the_next_one_is_another() {
        let service = Service::new(&[&[Answer::Lost, Answer::WrongLeader, Answer::Done]]);
        let mut clerk = service.clerk();
        clerk.append("k", "v");
        clerk.get("k");
        service.clerk().get("k");
        let asked = service.fakes[0].asked.lock();
        assert!(asked[0] == asked[1] && asked[1] == asked[2]);
        let ids: Vec<RequestId> = asked[2..].iter().map(|request| request.id).collect();
        assert_eq!((ids[0].seq, ids[1].seq, ids[0].client), (1, 2, ids[1].client));
        assert_ne!(ids[1].client, ids[2].client, "another clerk");
    }

    #[test]
    fn a_server_that_does_not_answer_holds_nobody() {
        let service = Service::new(&[&[Answer::Late], &[Answer::Done]]);
        assert_eq!(service.clerk().get("k"), "value");
        assert_eq!(service.asked(), [1, 1]);
    }

    #[test]
    fn a_clerk_does_not_give_up() {
        let long = [[Answer::WrongLeader; 5].as_slice(), &[Answer::Done]].concat();
        let service = Service::new(&[&[Answer::Lost], &long]);
        assert_eq!(service.clerk().get("k"), "value");
        assert_eq!(service.asked(), [6, 6]);
    }

    #[test]
    fn what_no_log_would_take_is_not_even_asked_for() {
        let service = Service::new(&[&[Answer::Done]]);
        let mut clerk = service.clerk();
        let value = "v".repeat(MAX_OP_BYTES);
        clerk.put("", &value);
        let asked = labcodec::encode(&service.fakes[0].asked.lock()[0]).unwrap();
        assert!(asked.len() <= raft::MAX_COMMAND_BYTES);
        let long = std::panic::AssertUnwindSafe(|| clerk.append("k", &value));
        assert!(std::panic::catch_unwind(long).is_err());
        assert_eq!(service.asked(), [1]);
    }
}
