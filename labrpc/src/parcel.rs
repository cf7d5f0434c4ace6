//! [`Parcel`]: one copy of one message on its way.

use std::sync::Arc;

use crate::call::Call;
use crate::core::Core;
use crate::observe::{Envelope, Kind, MessageId};
use crate::server::Callee;
use crate::service::Outcome;

/// One copy of one message on its way.
pub(crate) struct Parcel {
    pub(crate) id: MessageId,
    pub(crate) call: Arc<Call>,
    /// Which copy of the request this is, or answers.
    pub(crate) copy: u32,
    pub(crate) content: Content,
}

#[derive(Clone)]
pub(crate) enum Content {
    /// The arguments are in the call.
    Request,
    Reply {
        outcome: Outcome,
        /// It was held back by long reordering, and arrives across cuts and crashes.
        across: bool,
    },
}

impl Parcel {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.call.link.core
    }

    /// The server it is for, or from. A request that finds none is dropped before it is anywhere.
    pub(crate) fn callee(&self) -> &Arc<Callee> {
        self.call.callee.as_ref().expect("a request without a server is not sent")
    }

    pub(crate) fn envelope(&self) -> Envelope<'_> {
        let Call { id: call, link, method, args, .. } = &*self.call;
        let (kind, from, to, bytes) = match &self.content {
            Content::Request => (Kind::Request, &link.from, &link.to, Some(&args[..])),
            Content::Reply { outcome, .. } => (Kind::Reply, &link.to, &link.from, outcome.as_deref().ok()),
        };
        Envelope { id: self.id, call: *call, from, to, method, kind, args, bytes }
    }

    /// Whether it arrives although the link was cut or the server deleted.
    pub(crate) fn goes_across(&self) -> bool {
        matches!(self.content, Content::Reply { across: true, .. })
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        match self.content {
            Content::Reply { outcome, .. } => outcome,
            Content::Request => unreachable!("a request has no outcome"),
        }
    }
}
