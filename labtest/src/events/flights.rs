//! The calls under way: what each message says, so that it is decoded once, and who began to handle it when.

use std::collections::BTreeMap;
use std::sync::Arc;

use labrpc::{CallId, Envelope, Kind, MessageId, Step};

use super::{Answered, Content, Number, Party};

/// Calls of which a message is on its way or a handler runs.
#[derive(Default)]
pub(crate) struct Flights {
    calls: BTreeMap<CallId, Call>,
}

struct Call {
    request: Arc<Content>,
    /// The server that handles it, as it was when the first handler started, and when that was.
    handled: Option<(Party, Number)>,
    /// Handlers that have started and not ended.
    running: u32,
    /// What its messages on the way say.
    messages: Vec<(MessageId, Arc<Content>)>,
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

    /// A step of a message, at event `number`; `callee` is the server asked, as it is now, and `decode` reads the
    /// message. `None` for a message whose beginning was not seen.
    pub(crate) fn step(
        &mut self,
        number: Number,
        callee: Party,
        envelope: &Envelope<'_>,
        step: Step,
        decode: impl FnOnce() -> Content,
    ) -> Option<Known> {
        let is_request = envelope.kind == Kind::Request;
        if is_request && step == Step::Sent {
            let request = Arc::new(decode());
            let messages = vec![(envelope.id, request.clone())];
            let call = Call { request: request.clone(), handled: None, running: 0, messages };
            self.calls.insert(envelope.call, call);
            return Some(Known { content: request, answered: None });
        }
        let call = self.calls.get_mut(&envelope.call)?;
        let content = match step {
            Step::Sent => {
                call.running = call.running.saturating_sub(1);
                let content = Arc::new(decode());
                call.messages.push((envelope.id, content.clone()));
                content
            }
            Step::Duplicated { of } => {
                let content = call.message(of)?;
                call.messages.push((envelope.id, content.clone()));
                content
            }
            _ => call.message(envelope.id)?,
        };
        if step.is_end() {
            call.messages.retain(|(id, _)| *id != envelope.id);
        }
        if is_request && step == Step::Delivered {
            call.running += 1;
            call.handled.get_or_insert((callee, number));
        }
        let answered = match call.handled {
            Some((party, begun)) if !is_request => {
                Some((party, Answered { request: call.request.clone(), begun }))
            }
            _ => None,
        };
        if call.running == 0 && call.messages.is_empty() {
            self.calls.remove(&envelope.call);
        }
        Some(Known { content, answered })
    }
}

impl Call {
    fn message(&self, id: MessageId) -> Option<Arc<Content>> {
        self.messages.iter().find(|(its, _)| *its == id).map(|(_, content)| content.clone())
    }
}
