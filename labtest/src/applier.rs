//! The service above a Raft peer, as strict as a service can be: it checks each message and remembers it.

use std::convert::Infallible;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, never, select_biased};
use labnode::ApplyMsg;
use parking_lot::Mutex;

use crate::applied::Applied;
use crate::events::{Command, What};
use crate::incarnation::Incarnation;

/// Takes what a peer applies, on a thread of its own, and enters it into the record. A message that breaks a
/// rule fails the run.
pub struct Applier {
    /// Nothing is ever sent: that it is dropped ends the thread, and with it the receiver of the apply channel.
    stop: Mutex<Option<Sender<Infallible>>>,
}

impl Applier {
    /// Starts taking messages, from the state that `snapshot` holds (the one on disk before the peer was made;
    /// empty if there is none). After each command it calls `applied(index)`, on the applier's thread, before
    /// it takes the next message: there a service makes its snapshots.
    pub fn start(
        incarnation: &Arc<Incarnation>,
        record: Arc<Mutex<Applied>>,
        snapshot: &[u8],
        messages: Receiver<ApplyMsg>,
        applied: impl Fn(u64) + Send + 'static,
    ) -> Applier {
        let begun = labsim::no_preempt(|| record.lock().begin(incarnation.server(), snapshot));
        if let Err(objection) = begun {
            incarnation.run().fail_server(incarnation, *objection);
        }
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let whose = incarnation.clone();
        incarnation.spawn("applier".to_string(), move || take(&whose, &record, messages, &stopped, applied));
        Applier { stop: Mutex::new(Some(stop)) }
    }

    /// Takes no more messages: a peer that goes on sending gets an error. Does not wait for a message that is
    /// just being dealt with.
    pub fn stop(&self) {
        *self.stop.lock() = None;
    }
}

fn take(
    incarnation: &Incarnation,
    record: &Mutex<Applied>,
    mut messages: Receiver<ApplyMsg>,
    stopped: &Receiver<Infallible>,
    applied: impl Fn(u64),
) {
    loop {
        let message = select_biased! {
            recv(stopped) -> _ => return,
            recv(messages) -> message => message,
        };
        let Ok(message) = message else {
            // The peer has dropped its sender, which it may once it is killed: only the end is left to wait for.
            messages = never();
            continue;
        };
        log::debug!("applies {message:?}");
        // Whether this life still counts is decided under the record's lock.
        let result = labsim::no_preempt(|| {
            let mut record = record.lock();
            incarnation.is_alive().then(|| {
                // First the oracles: of a wrong message they know more often which rule it breaks.
                note(incarnation, &message);
                record.apply(incarnation.server(), &message)
            })
        });
        match result {
            Some(Ok(())) => {}
            Some(Err(objection)) => return incarnation.run().fail_server(incarnation, *objection),
            None => return,
        }
        incarnation.run().notify();
        if let ApplyMsg::Command { index, .. } = message {
            applied(index);
        }
    }
}

/// Enters a message that was taken into the run's stream of events.
fn note(incarnation: &Incarnation, message: &ApplyMsg) {
    let what = |life| match message {
        ApplyMsg::Command { index, command } => {
            What::Apply { life, index: *index, command: Command::of(command) }
        }
        ApplyMsg::Snapshot { index, term, .. } => What::ApplySnapshot { life, index: *index, term: *term },
    };
    incarnation.run().note(|events, at| events.of_living(at, incarnation.server(), what));
}
