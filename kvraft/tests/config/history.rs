//! The history of the clerks: what they asked, what they were told, when, and what happened meanwhile.
//!
//! It is recorded as an observer does, and judged when the run is over, outside of its time. The judgment may cost so
//! many configurations, and as long as that takes: with a limit in time its verdict would depend on the machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use labtest::rules::LINEARIZABLE;
use labtest::{Finding, Run, TestName, is_reviewed, observe, seconds};
use linearizability::models::{KvClient, KvInput, KvRecorder, KvStore};
use linearizability::{History, Options, Text, Verdict, check, page, report};
use parking_lot::Mutex;

use super::evidence;

/// Some hundred bytes each. The exact method for histories of puts, appends and gets needs none.
pub(super) const CONFIGURATIONS: u64 = 1_000_000;

/// The history under way. Everything that locks it does so as an observer, and is therefore never stopped meanwhile.
pub(super) struct Record {
    run: Run,
    name: TestName,
    /// `None` once it is judged.
    recorder: Mutex<Option<KvRecorder>>,
    /// Of each clerk, the numbers that its operations have in the run's stream of events, in their order.
    numbers: Mutex<BTreeMap<u64, Vec<u64>>>,
}

impl Record {
    /// The record of a run, which will be judged when that is over.
    pub(super) fn new(run: &Run, name: TestName) -> Arc<Record> {
        let recorder = Mutex::new(Some(KvRecorder::new()));
        let record = Arc::new(Record { run: run.clone(), name, recorder, numbers: Mutex::default() });
        let its = record.clone();
        run.judge_afterwards(move || its.judge());
        record
    }

    /// A log for a clerk.
    pub(super) fn client(&self, number: usize) -> KvClient {
        observe(|| match &*self.recorder.lock() {
            Some(recorder) => recorder.client(number as u64),
            // Nobody will ask for what is recorded from now on.
            None => KvRecorder::new().client(number as u64),
        })
    }

    /// Notes under which number the stream of events has the next operation of a clerk. To be called by an observer.
    pub(super) fn number(&self, clerk: usize, number: u64) {
        self.numbers.lock().entry(clerk as u64).or_default().push(number);
    }

    /// Notes what happens beside the operations.
    pub(super) fn mark(&self, what: &str) {
        observe(|| {
            if let Some(recorder) = &*self.recorder.lock() {
                recorder.mark(format!("{}: {what}", seconds(self.run.elapsed())));
            }
        });
    }

    /// Ends the recording. The error says that the history is impossible, or that nobody knows.
    pub(super) fn judge(&self) -> Result<(), Finding> {
        let Some(recorder) = observe(|| self.recorder.lock().take()) else { return Ok(()) };
        let history = recorder.finish().of("clerk");
        let options = Options { configurations: CONFIGURATIONS, ..Options::default() };
        let verdict = check(&KvStore, &history, &options);
        let Some(text) = objection(&history, &verdict) else {
            if is_reviewed() {
                self.run.leave_evidence(evidence::encode(&history));
            }
            return Ok(());
        };
        let file = self.write_page(&history, &verdict);
        Err(match &verdict {
            Verdict::Violation(violation) => {
                let core = numbers(&history, &violation.core, &observe(|| self.numbers.lock().clone()));
                Finding { text, rule: Some(&LINEARIZABLE), core, file }
            }
            _ => Finding { text, file, ..Finding::default() },
        })
    }

    /// Writes the page that shows the whole history, if pages are to be written, and says where.
    fn write_page(&self, history: &History<KvInput, Text>, verdict: &Verdict) -> Option<String> {
        let title = format!("{} with seed {}", self.name, self.run.seed());
        let count = history.len();
        let written = self.run.write_report(".history.html", || page(&KvStore, history, verdict, &title))?;
        Some(match written {
            Ok(path) => format!("all {count} operations, on another: {}", path.display()),
            Err(error) => format!("the page with all {count} operations was not written: {error}"),
        })
    }
}

/// The numbers of these operations in the stream of events. A clerk has one operation after the other.
fn numbers(
    history: &History<KvInput, Text>,
    core: &[usize],
    of_clerks: &BTreeMap<u64, Vec<u64>>,
) -> Vec<u64> {
    let operations = history.operations();
    let number = |&id: &usize| {
        let clerk = operations[id].client;
        let before = operations.iter().filter(|op| op.client == clerk && op.call < operations[id].call);
        of_clerks.get(&clerk)?.get(before.count()).copied()
    };
    core.iter().filter_map(number).collect()
}

/// What there is to say of a history that is not known to be possible.
fn objection(history: &History<KvInput, Text>, verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Linearizable(_) => None,
        Verdict::Unknown(why) => Some(format!(
            "whether what the clerks were told is possible is unknown, and therefore this is no pass: {why}\n"
        )),
        Verdict::Violation(_) => Some(report(&KvStore, history, verdict)),
    }
}

#[cfg(test)]
mod tests {
    use linearizability::{Operation, Unknown};

    use super::*;

    #[test]
    fn an_unknown_verdict_is_no_pass_and_says_so() {
        let history = History::new(Vec::new()).unwrap();
        let unknown = Unknown::OutOfConfigurations { configurations: 7, undecided: 1, partitions: 2 };
        let objection = objection(&history, &Verdict::Unknown(unknown)).unwrap();
        assert!(
            objection.contains("unknown") && objection.contains("no pass: undecided after 7"),
            "{objection}"
        );
    }

    #[test]
    fn operations_are_found_in_the_stream_of_events() {
        let get = |client, call| Operation::new(client, call, KvInput::get("k"), call + 1, "".into());
        let history = History::new(vec![get(7, 20), get(3, 10), get(7, 10), get(3, 30)]).unwrap();
        let of_clerks = BTreeMap::from([(3, vec![100, 200]), (7, vec![101])]);
        // Of its second operation nobody noted the number.
        assert_eq!(numbers(&history, &[0, 1, 2, 3], &of_clerks), [100, 101, 200]);
    }
}
