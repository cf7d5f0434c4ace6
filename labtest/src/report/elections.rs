//! [`Elections`]: who was elected by whom.

use std::collections::BTreeMap;

use labrpc::Step;

use crate::events::{Content, Event, Party, What};
use crate::text::servers;

/// A server and a term that it leads, or asks for.
pub(super) type Reign = (usize, u64);

/// Who has whose vote, as messages show it.
#[derive(Default)]
pub(super) struct Elections {
    /// Per candidate and term, those whose votes it has, besides its own.
    votes: BTreeMap<Reign, Vec<usize>>,
}

impl Elections {
    pub(super) fn see(&mut self, event: &Event) {
        let What::Message(passage) = &event.what else { return };
        let (Party::Server(from), Party::Server(to)) = (passage.from, passage.to) else { return };
        match (&*passage.content, passage.step, &passage.answers) {
            (Content::RequestVote(asked), Step::Sent, None) => {
                self.votes.entry((from.server, asked.term)).or_default();
            }
            (Content::RequestVoteReply(reply), Step::Delivered, Some(answered)) if reply.granted => {
                let Content::RequestVote(asked) = &*answered.request else { return };
                if let Some(voters) = self.votes.get_mut(&(to.server, asked.term)) {
                    if !voters.contains(&from.server) {
                        voters.push(from.server);
                    }
                }
            }
            _ => {}
        }
    }

    /// By whom a leader was elected, if it is known.
    pub(super) fn of(&self, reign: Reign) -> String {
        match self.votes.get(&reign).map(Vec::as_slice) {
            None => String::new(),
            Some([]) => ", with no vote but its own".to_string(),
            Some([one]) => format!(", with the vote of server {one}"),
            Some(voters) => {
                let mut voters = voters.to_vec();
                voters.sort_unstable();
                format!(", with the votes of {}", servers(&voters))
            }
        }
    }
}
