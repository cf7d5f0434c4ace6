//! [`Tap`]: turns what a network's observer sees into events of the stream.

use labrpc::{AnyMessage, Event, Observer};

use crate::run::Run;

/// Watches a network for a run.
pub(crate) struct Tap {
    run: Run,
    neutral: fn(&dyn AnyMessage) -> super::Content,
}

impl Tap {
    /// `neutral` says what a message means.
    pub(crate) fn new(run: &Run, neutral: fn(&dyn AnyMessage) -> super::Content) -> Tap {
        Tap { run: run.clone(), neutral }
    }
}

impl Observer for Tap {
    fn observe(&self, event: &Event<'_>) {
        self.run.note(|events, at| events.message(at, event, self.neutral));
    }
}
