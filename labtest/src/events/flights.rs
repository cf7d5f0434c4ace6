//! The calls under way: what each message says, so that it is read once, and who began to handle it when.

use std::sync::Arc;

use labrpc::{CallId, Envelope, Kind, MessageId, Step};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{Answered, Content, Number, Party};

/// Calls of which a message is on its way or a handler runs.
#[derive(Default)]
pub(crate) struct Flights {
    calls: FxHashMap<CallId, Call>,
}

struct Call {
    request: Arc<Content>,
    /// The server that handles it, as it was when the first handler started, and when that was.
    handled: Option<(Party, Number)>,
    /// Messages on their way, and handlers that have started and not ended.
    under_way: u32,
    /// What its replies say: more than one if there were copies of the request.
    replies: SmallVec<[(MessageId, Arc<Content>); 1]>,
}

/// What is known of a message.
pub(crate) struct Known {
    pub(crate) content: Arc<Content>,
    /// Of a reply.
    pub(crate) answered: Option<(Party, Answered)>,
}

impl Flights {
    /// Whether no message is on its way and no handler runs.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// A step of a message, at event `number`; `callee` is the server asked, as it is now, and `read` reads the
    /// message. `None` for a message whose beginning was not seen.
    pub(crate) fn step(
        &mut self,
        number: Number,
        callee: Party,
        envelope: &Envelope<'_>,
        step: Step,
        read: impl FnOnce() -> Arc<Content>,
    ) -> Option<Known> {
        let is_request = envelope.kind == Kind::Request;
        if is_request && step == Step::Sent {
            let request = read();
            let call =
                Call { request: request.clone(), handled: None, under_way: 1, replies: SmallVec::new() };
            self.calls.insert(envelope.call, call);
            return Some(Known { content: request, answered: None });
        }
        let call = self.calls.get_mut(&envelope.call)?;
        let content = if is_request {
            call.request.clone()
        } else {
            let reply = match step {
                Step::Sent => read(),
                Step::Duplicated { of } => call.reply(of)?,
                _ => call.reply(envelope.id)?,
            };
            if matches!(step, Step::Sent | Step::Duplicated { .. }) {
                call.replies.push((envelope.id, reply.clone()));
            }
            reply
        };
        match (envelope.kind, step) {
            // What was under way as a request is so as its handler, and then as a reply.
            (Kind::Request, Step::Delivered) => {
                call.handled.get_or_insert((callee, number));
            }
            (Kind::Reply, Step::Sent) => {}
            (_, Step::Duplicated { .. }) => call.under_way += 1,
            (_, step) if step.is_end() => call.under_way = call.under_way.saturating_sub(1),
            _ => {}
        }
        let answered = match call.handled {
            Some((party, begun)) if !is_request => {
                Some((party, Answered { request: call.request.clone(), begun }))
            }
            _ => None,
        };
        if call.under_way == 0 {
            self.calls.remove(&envelope.call);
        }
        Some(Known { content, answered })
    }
}

impl Call {
    fn reply(&self, id: MessageId) -> Option<Arc<Content>> {
        self.replies.iter().find(|(its, _)| *its == id).map(|(_, content)| content.clone())
    }
}
