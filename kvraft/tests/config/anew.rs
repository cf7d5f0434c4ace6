//! A cluster beside the one under test, which is to know nothing of it.

use kvraft::{Clerk, KvClient, KvServer};
use labtest::{Beside, rules, show};
use raft::RaftClient;

use super::{Config, ELECTION, Server};

impl Config {
    /// Fails unless a cluster that starts on empty disks, in the process of this one, has no value for `key`.
    #[track_caller]
    pub(crate) fn check_begins_anew(&self, key: &str) {
        let beside = Beside::start(&self.run, self.servers(), |me, peers, disk| {
            let peers = peers.into_iter().map(RaftClient::new).collect();
            let kv = KvServer::new(peers, me, disk, self.setting.max_raft_state);
            Server { raft: kv.raft(), kv }
        });
        let mut clerk = Clerk::new(beside.clients().into_iter().map(KvClient::new).collect());
        let asked = key.to_string();
        let value = self.spawn("a clerk of another cluster", move |_| clerk.get(&asked));
        if !value.is_done_within(10 * ELECTION) {
            self.fail_under(
                &rules::CLERKS_ANSWERED,
                "servers that start on empty disks have not answered a get in 10 s",
            );
        }
        let value = value.join();
        self.check_under(&rules::PERSIST_BEFORE_ANSWER, value.is_empty(), || {
            format!(
                "servers that start on empty disks say that the value of {key:?} is {}, expected \"\": what a \
                 server knows must be on its disk and nowhere else; a `static` outlives a simulated crash, but no real one",
                show(value.as_bytes())
            )
        });
    }
}
