//! The history of the clerks: what they asked, what they were told, when, and what happened meanwhile.
//!
//! It is recorded as an observer does, and judged when the run is over, outside of its time. The judgment may cost so
//! many configurations, and as long as that takes: with a limit in time its verdict would depend on the machine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use labtest::rules::LINEARIZABLE;
use labtest::{Finding, Run, TestName, is_reviewed, observe, seconds};
use linearizability::models::{KvClient, KvInput, KvRecorder, KvStore};
use linearizability::{History, Options, Text, Verdict, check, page, report};
use parking_lot::Mutex;

use super::evidence;

/// Some hundred bytes each. The exact method for histories of puts, appends and gets needs none.
pub(super) const CONFIGURATIONS: u64 = 1_000_000;

/// How many events are told beside a violation.
const EVENTS_SHOWN: usize = 12;

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
        let history = recorder.finish();
        let options = Options { configurations: CONFIGURATIONS, ..Options::default() };
        let verdict = check(&KvStore, &history, &options);
        let Some(text) = objection(&history, &verdict) else {
            if is_reviewed() {
                self.run.leave_evidence(evidence::encode(&history));
            }
            return Ok(());
        };
        let text = format!("{text}{}", self.write_page(&history, &verdict));
        Err(match &verdict {
            Verdict::Violation(violation) => {
                let core = numbers(&history, &violation.core, &observe(|| self.numbers.lock().clone()));
                Finding { text, rule: Some(&LINEARIZABLE), core }
            }
            _ => text.into(),
        })
    }

    /// Writes the page that shows the whole history, if pages are to be written, and says where.
    fn write_page(&self, history: &History<KvInput, Text>, verdict: &Verdict) -> String {
        let title = format!("{} with seed {}", self.name, self.run.seed());
        let count = history.len();
        match self.run.write_report(".history.html", || page(&KvStore, history, verdict, &title)) {
            None => String::new(),
            Some(Ok(path)) => {
                format!("\nall {count} operations, on a page for a browser: {}\n", path.display())
            }
            Some(Err(error)) => format!("\nthe page with all {count} operations was not written: {error}\n"),
        }
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
        Verdict::Violation(violation) => Some(format!(
            "what the clerks were told is impossible for one store that executes one operation after the other:\n\
             {}\n{}",
            report(&KvStore, history, verdict).trim_end(),
            meanwhile(history, &violation.core)
        )),
    }
}

/// What happened to servers and links, from a little before the first of these operations to the last.
fn meanwhile(history: &History<KvInput, Text>, core: &[usize]) -> String {
    let operations = || core.iter().map(|&id| &history.operations()[id]);
    let begin = operations().map(|op| op.call).min().unwrap_or(0);
    let end = operations().map(|op| op.returned.as_ref().map_or(u64::MAX, |returned| returned.at)).max();
    let marks = history.marks();
    // The state of things at the beginning is what the events just before it made of them.
    let first = marks.partition_point(|mark| mark.at < begin).saturating_sub(EVENTS_SHOWN / 2);
    let last = marks.partition_point(|mark| mark.at <= end.unwrap_or(u64::MAX));
    let events = &marks[first.min(last)..last];
    let hidden = events.len().saturating_sub(EVENTS_SHOWN);
    let mut out = String::new();
    for (i, mark) in events.iter().enumerate() {
        if i == 0 {
            out.push_str("\nwhat happened to the servers from shortly before the first of them on:\n");
        }
        if hidden > 0 && i == EVENTS_SHOWN / 2 {
            let _ = writeln!(out, "  ({hidden} more)");
        }
        if i < EVENTS_SHOWN / 2 || i >= EVENTS_SHOWN / 2 + hidden {
            let _ = writeln!(out, "  {}", mark.text);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use linearizability::{Mark, Operation, Unknown};

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
    fn a_violation_is_told_with_the_events_around_it() {
        let marks = (0..40).map(|i| Mark { at: 10 * i + 5, text: format!("event {i}") }).collect();
        let operations = vec![
            Operation::new(1, 100, KvInput::put("k", "a"), 101, "".into()),
            Operation::new(2, 300, KvInput::get("k"), 301, "".into()),
        ];
        let history = History::with_marks(operations, marks).unwrap();
        let verdict = check(&KvStore, &history, &Options::default());
        let told = objection(&history, &verdict).unwrap();
        for part in [
            "impossible",
            "vanished",
            "put \"k\" \"a\"",
            "|---",
            "  event 4\n",
            "  event 9\n",
            "  (14 more)\n",
        ] {
            assert!(told.contains(part), "{part:?} is missing in: {told}");
        }
        assert!(told.ends_with("  event 29\n") && !told.contains("event 10\n"), "{told}");
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
