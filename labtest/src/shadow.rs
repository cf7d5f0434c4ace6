//! [`Shadow`]: a server started from its disk as it was when it promised something, to see whether it keeps its word.
//!
//! A vote and an acknowledgement must be on disk before the answer leaves (figure 2: "updated on stable storage before
//! responding to RPCs"). What is on disk only the code under test can read; so a server is started from it, in a copy
//! of the run, on a network of its own where nobody else is, and asked. The run itself does not notice
//! ([`labsim::what_if`]). In real time there are no copies, and nobody is asked.
//!
//! Why it accuses nobody who is right: it looks at the instant at which an answer is handed to the network, when
//! whatever the answer rests on must be saved; and the questions are for the course's room of a lab to put, which
//! knows what a server may do that has moved on meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use labrpc::{Client, Network, NetworkOptions, Server, Spawn};
use parking_lot::Mutex;

use crate::applied::Applied;
use crate::cluster::{Cluster, Node, Seat};
use crate::events::{Promise, Promised};
use crate::incarnation::{Incarnation, NodeThreads};
use crate::oracles::{Objection, Off, Rule};

/// What the questions are about.
pub const RULE: Rule = Rule {
    id: "persist-before-answer",
    says: "what a server answers is on its disk before the answer leaves",
    paper: "figure 2, persistent state",
};

/// The server that was started from the disk, in the copy.
pub struct Shadow<N> {
    /// What was promised.
    pub promise: Promise,
    /// The request to which the promise is the answer, encoded.
    pub request: Vec<u8>,
    /// The last vote that the server promised before, in the same life, and the request to which that was the answer.
    pub vote: Option<(Promised, Vec<u8>)>,
    /// The snapshot on the disk.
    pub snapshot: Vec<u8>,
    /// The server.
    pub node: N,
    /// Reaches it.
    pub client: Client,
    /// It ends when this is dropped.
    _network: Network,
}

/// Asks the shadow of a server. The error is what it has forgotten, as the end of a sentence that begins "started again
/// from its disk at that instant, ".
pub type Question<N> = fn(&Shadow<N>) -> Result<(), String>;

impl<N: Node> Cluster<N> {
    /// Puts `question` at the n-th promise of the run, from 1, if `asks(n)`. What a server says that it has said before,
    /// in its present life, is no further promise. Each question costs some milliseconds of CPU time.
    pub fn hold_to_promises(
        &self,
        asks: impl Fn(u64) -> bool + Send + Sync + 'static,
        question: Question<N>,
    ) {
        if Off::here().has(&RULE) {
            return;
        }
        labsim::observe(|| {
            // The cluster is gone with the run's end, as it is where nobody is asked.
            let cluster = self.downgrade();
            let made = Mutex::new((0, BTreeMap::new(), BTreeMap::new()));
            self.run().on_promise(move |promise, request| {
                let asked = labsim::observe(|| {
                    let (count, last, votes) = &mut *made.lock();
                    if last.insert(promise.life, promise.what) == Some(promise.what) {
                        return None;
                    }
                    *count += 1;
                    let vote = votes.get(&promise.life).cloned();
                    if let Promised::Vote { .. } = promise.what {
                        votes.insert(promise.life, (promise.what, request.to_vec()));
                    }
                    asks(*count).then_some(vote)
                });
                if let Some(vote) = asked {
                    let Some(cluster) = cluster() else { return };
                    labsim::observe(|| cluster.hold_to(promise, request, vote, question));
                }
            });
        });
    }

    fn hold_to(
        &self,
        promise: &Promise,
        request: &[u8],
        vote: Option<(Promised, Vec<u8>)>,
        question: Question<N>,
    ) {
        let server = promise.life.server;
        let answer = labsim::what_if(|| match self.shadow(promise, request, vote) {
            // Whoever holds the record of the servers never runs in the copy.
            None => Vec::new(),
            Some(shadow) => question(&shadow).err().unwrap_or_default().into_bytes(),
        });
        let forgotten = match answer {
            None => return,
            Some(Ok(text)) if text.is_empty() => return,
            Some(Ok(text)) => String::from_utf8_lossy(&text).into_owned(),
            Some(Err(labsim::NoAnswer::Panicked(panic))) => format!("it panics: {panic}"),
            Some(Err(why)) => {
                log::warn!(
                    "server {server} was started again from its disk, to be asked, without an answer: {why}"
                );
                return;
            }
        };
        let promised = promise.what;
        let text = format!(
            "server {server} {promised}. Started again from its disk as it was when that answer left, {forgotten}"
        );
        // The answer itself.
        let answer = self.run().events(|events| events.next() - 1);
        self.run().object(Objection { rule: &RULE, text, evidence: vec![answer] });
    }

    /// In the copy: the server, on a network without others. `None` if its disk cannot be had.
    fn shadow(
        &self,
        promise: &Promise,
        request: &[u8],
        vote: Option<(Promised, Vec<u8>)>,
    ) -> Option<Shadow<N>> {
        let server = promise.life.server;
        let (servers, disk) = self.try_disk(server)?;
        let disk = disk.fork();
        let snapshot = disk.snapshot();
        let network = Network::new(NetworkOptions { seed: 1, ..NetworkOptions::default() });
        let incarnation = Incarnation::new(self.run(), server);
        let on: Arc<dyn Spawn> = Arc::new(NodeThreads(incarnation.clone()));
        // To its peers all links stay closed.
        let peer = |to| network.client(&Self::name(server), &Self::name(to), on.clone());
        let peers = (0..servers).map(peer).collect();
        let applied = Arc::new(Mutex::new(Applied::new(servers)));
        let node = self.make(Seat { me: server, peers, disk, incarnation, applied });
        let mut host = Server::new(&Self::name(server), on.clone());
        node.services().into_iter().for_each(|service| host.add(service));
        network.add_server(host);
        let client = network.client("questioner", &Self::name(server), Arc::new(labrpc::Threads));
        network.enable(&client, true);
        Some(Shadow {
            promise: *promise,
            request: request.to_vec(),
            vote,
            snapshot,
            node,
            client,
            _network: network,
        })
    }
}
