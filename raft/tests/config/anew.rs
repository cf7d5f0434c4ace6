//! A cluster beside the one under test, which is to know nothing of it.

use crossbeam_channel::Receiver;
use labnode::{ApplyMsg, State};
use labtest::{Beside, Node, rules};
use raft::{Raft, RaftClient, RaftService};

use super::{Config, ELECTION};

/// Said of what is not from a disk.
const NOWHERE_ELSE: &str = "what a server knows must be on its disk and nowhere else; a `static` outlives a simulated \
                            crash, but no real one";

/// A server, and what it applies.
#[derive(Clone)]
struct Server {
    raft: Raft,
    applied: Receiver<ApplyMsg>,
}

impl Node for Server {
    fn services(&self) -> Vec<labrpc::Service> {
        vec![self.raft.clone().into_service()]
    }

    fn state(&self) -> State {
        self.raft.state()
    }

    fn kill(&self) {
        self.raft.kill();
    }
}

impl Config {
    /// Fails unless a cluster that starts on empty disks, in the process of this one, begins with nothing: before the term
    /// that this one is in, and with the first index.
    #[track_caller]
    pub(crate) fn check_begins_anew(&self) {
        let term = self.check_terms();
        let beside = Beside::start(&self.run, self.servers(), |me, peers, disk| {
            let (apply, applied) = crossbeam_channel::unbounded();
            let raft = Raft::new(peers.into_iter().map(RaftClient::new).collect(), me, disk, apply);
            Server { raft, applied }
        });
        for (server, begins) in beside.nodes().iter().map(Node::state).enumerate() {
            self.check_under(&rules::PERSIST_BEFORE_ANSWER, begins.term < term, || {
                format!("server {server} starts on an empty disk, in term {}: {NOWHERE_ELSE}", begins.term)
            });
        }
        let start = self.wait_until_asked(5 * ELECTION, || {
            beside.nodes().iter().find_map(|server| server.raft.start(b"first".to_vec()).ok())
        });
        let Some(start) = start else {
            self.fail_under(
                &rules::NO_AGREEMENT,
                "servers that start on empty disks have elected no leader in 5 s",
            );
        };
        self.check_under(&rules::PERSIST_BEFORE_ANSWER, start.index == 1, || {
            format!(
                "servers that start on empty disks put their first command at index {}, expected 1: {NOWHERE_ELSE}",
                start.index
            )
        });
        for (server, Server { applied, .. }) in beside.nodes().iter().enumerate() {
            let first = self.wait_until_asked(5 * ELECTION, || applied.try_recv().ok());
            let Some(first) = first else {
                self.fail_under(
                    &rules::NO_AGREEMENT,
                    format!("server {server}, which started on an empty disk, has applied nothing in 5 s"),
                );
            };
            let is_first = matches!(&first, ApplyMsg::Command { index: 1, command } if command == b"first");
            self.check_under(&rules::PERSIST_BEFORE_ANSWER, is_first, || {
                format!(
                    "server {server}, which started on an empty disk, first applies {first:?}, expected the cluster's \
                     first command, at index 1: {NOWHERE_ELSE}"
                )
            });
        }
    }
}
