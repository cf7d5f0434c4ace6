//! An observer that remembers, and checks that each message has one beginning and one end; and one that is slow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use labrpc::{CallId, Event, Kind, MessageId, Network, Observer, Step};
use parking_lot::{Condvar, Mutex};

use crate::common::SOON;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: MessageId,
    pub(crate) call: CallId,
    pub(crate) kind: Kind,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) method: String,
    pub(crate) size: usize,
    pub(crate) text: Option<String>,
    pub(crate) step: Step,
}

#[derive(Default)]
pub(crate) struct Recorder {
    records: Mutex<Vec<Record>>,
    more: Condvar,
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        let envelope = event.envelope;
        self.records.lock().push(Record {
            id: envelope.id,
            call: envelope.call,
            kind: envelope.kind,
            from: envelope.from.to_owned(),
            to: envelope.to.to_owned(),
            method: envelope.method.to_string(),
            size: envelope.size(),
            text: envelope.message().map(|message| format!("{message:?}")),
            step: event.step,
        });
        self.more.notify_all();
    }
}

impl Recorder {
    pub(crate) fn on(network: &Network) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        network.observe(recorder.clone());
        recorder
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.lock().clone()
    }

    pub(crate) fn steps(&self) -> Vec<(Kind, Step)> {
        self.records().into_iter().map(|record| (record.kind, record.step)).collect()
    }

    /// Waits until this many messages have come to their ends, and returns these in order.
    pub(crate) fn until_ends(&self, count: usize) -> Vec<Record> {
        let mut records = self.records.lock();
        let deadline = Instant::now() + SOON * 10;
        loop {
            let ends: Vec<_> = records.iter().filter(|record| record.step.is_end()).cloned().collect();
            if ends.len() >= count {
                return ends;
            }
            let late = self.more.wait_until(&mut records, deadline).timed_out();
            assert!(!late, "{} of {count} messages have ended: {ends:?}", ends.len());
        }
    }

    /// Objects unless each message has one beginning, then one end, and nothing outside.
    pub(crate) fn check_conservation(&self) {
        if let Err(objection) = conserved(&self.records()) {
            panic!("{objection}");
        }
    }
}

fn conserved(records: &[Record]) -> Result<(), String> {
    let mut messages = BTreeMap::<_, Vec<Step>>::new();
    for record in records {
        messages.entry(record.id).or_default().push(record.step);
    }
    for (id, steps) in messages {
        let begins = |step: &Step| matches!(step, Step::Sent | Step::Duplicated { .. });
        let (first, last) = (&steps[0], &steps[steps.len() - 1]);
        let once = steps.iter().filter(|step| begins(step)).count() == 1
            && steps.iter().filter(|step| step.is_end()).count() == 1;
        if !(once && begins(first) && last.is_end()) {
            return Err(format!("{id}: {steps:?}"));
        }
    }
    Ok(())
}

/// An observer that takes its time over one step, so that what may come in between comes in between.
pub(crate) struct Slow {
    kind: Kind,
    step: Step,
    begun: mpsc::Sender<MessageId>,
    done: AtomicBool,
}

impl Slow {
    /// The receiver gets the message when the step has begun to be observed.
    pub(crate) fn on(network: &Network, kind: Kind, step: Step) -> (Arc<Slow>, mpsc::Receiver<MessageId>) {
        let (begun, receiver) = mpsc::channel();
        let slow = Arc::new(Slow { kind, step, begun, done: AtomicBool::new(false) });
        network.observe(slow.clone());
        (slow, receiver)
    }

    /// Whether the step has been observed to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(SeqCst)
    }
}

impl Observer for Slow {
    fn observe(&self, event: &Event<'_>) {
        if (event.envelope.kind, event.step) == (self.kind, self.step) {
            self.begun.send(event.envelope.id).expect("the test waits for it");
            thread::sleep(Duration::from_millis(100));
            self.done.store(true, SeqCst);
        }
    }
}

#[test]
fn the_check_of_conservation_objects() {
    let record = |step| Record {
        id: MessageId(3),
        call: CallId(0),
        kind: Kind::Request,
        from: String::new(),
        to: String::new(),
        method: String::new(),
        size: 0,
        text: None,
        step,
    };
    let check = |steps: &[Step]| conserved(&steps.iter().map(|step| record(*step)).collect::<Vec<_>>());
    assert_eq!(check(&[Step::Sent, Step::Held, Step::Released, Step::Delivered]), Ok(()));
    for wrong in [
        &[Step::Sent][..],
        &[Step::Delivered],
        &[Step::Sent, Step::Delivered, Step::Delivered],
        &[Step::Sent, Step::Sent, Step::Delivered],
        &[Step::Held, Step::Sent, Step::Delivered],
        &[Step::Sent, Step::Delivered, Step::Held],
    ] {
        assert!(check(wrong).is_err_and(|text| text.starts_with("message 3:")), "{wrong:?}");
    }
}
