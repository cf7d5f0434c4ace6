//! A verdict for the terminal: the sentence, and a picture of the operations it is about.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::history::{History, NEVER, intervals};
use crate::model::Model;
use crate::verdict::{Verdict, Violation};

/// At most so many operations are drawn.
const MAX_ROWS: usize = 8;
/// The width of the time axis, in characters.
const AXIS: usize = 20;
/// How many operations of a partial order are listed.
const ORDER_SHOWN: usize = 8;

/// What there is to say about a verdict, in lines of text that end with a line feed.
///
/// ```
/// use linearizability::models::{KvInput, KvStore};
/// use linearizability::{History, Operation, Options, check, report};
///
/// let history = History::new(vec![
///     Operation::new(1, 10, KvInput::put("k", "a"), 20, "".into()),
///     Operation::new(2, 30, KvInput::get("k"), 40, "".into()),
/// ])?;
/// let verdict = check(&KvStore, &history, &Options::default());
/// let text = report(&KvStore, &history, &verdict);
/// assert!(text.contains("|----|"));
/// # Ok::<(), linearizability::MalformedHistory>(())
/// ```
pub fn report<M: Model>(model: &M, history: &History<M::Input, M::Output>, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Linearizable(_) => format!("linearizable: {} operations\n", history.len()),
        Verdict::Unknown(why) => format!("unknown: {why}\n"),
        Verdict::Violation(violation) => violation_report(model, history, violation),
    }
}

fn violation_report<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    violation: &Violation,
) -> String {
    let mut out = String::from("not linearizable: ");
    if !violation.partition.is_empty() {
        let _ = write!(out, "on {:?}: ", violation.partition);
    }
    let _ = writeln!(out, "{}\n{}", violation.title, violation.sentence);
    // Of a core too large to show, the end, where it goes wrong.
    let shown = &violation.core[violation.core.len().saturating_sub(MAX_ROWS)..];
    let (count, those) =
        (violation.core.len(), if violation.core.len() == 1 { "operation" } else { "operations" });
    let _ = match violation.core_is_minimal {
        true if count == 1 => writeln!(out, "One operation is enough to see it:"),
        true => writeln!(
            out,
            "These {count} {those} contradict each other; without any one of them the rest is possible:"
        ),
        false if count > shown.len() => {
            writeln!(out, "{count} {those} contradict each other, the last {} of which are:", shown.len())
        }
        false => writeln!(out, "These {count} {those} contradict each other:"),
    };
    out.push_str(&picture(model, history, shown));
    if !violation.partial.is_empty() {
        let from = violation.partial.len().saturating_sub(ORDER_SHOWN);
        let _ = writeln!(out, "\nThe order found before it fails ends with:");
        for (place, &id) in violation.partial.iter().enumerate().skip(from) {
            let op = &history.operations()[id];
            let _ = writeln!(
                out,
                "  {:>4}. {} ({} {}, #{id})",
                place + 1,
                model.describe(&op.input, op.output()),
                history.who(),
                op.client
            );
        }
    }
    if !violation.also.is_empty() {
        let shown: Vec<String> = violation.also.iter().take(8).map(|name| format!("{name:?}")).collect();
        let more = if violation.also.len() > 8 { ", ..." } else { "" };
        let _ = writeln!(out, "\nNot linearizable either: {}{more}", shown.join(", "));
    }
    out
}

/// Some operations of a history as bars over time, by call. Only the order of calls and returns is to scale.
pub fn picture<M: Model>(model: &M, history: &History<M::Input, M::Output>, ids: &[usize]) -> String {
    let ranks = intervals(history.operations());
    let mut shown: Vec<usize> = ids.to_vec();
    shown.sort_by_key(|&id| ranks[id].call);
    let left_out = shown.len().saturating_sub(MAX_ROWS);
    shown.truncate(MAX_ROWS);
    // Every call and return shown has a column of its own.
    let events: BTreeSet<u32> =
        shown.iter().flat_map(|&id| [ranks[id].call, ranks[id].ret]).filter(|&rank| rank != NEVER).collect();
    let width = (AXIS / events.len().max(1)).clamp(1, 8);
    let column = |rank: u32| events.range(..rank).count() * width;
    let end = (events.len().max(1) - 1) * width + 1;
    // What never returns goes on beyond the last event.
    let right = if shown.iter().any(|&id| ranks[id].ret == NEVER) { end + 4 } else { end };
    let name = |&id: &usize| format!("#{id} {} {}", history.who(), history.operations()[id].client);
    let names: Vec<String> = shown.iter().map(name).collect();
    let margin = names.iter().map(String::len).max().unwrap_or(0);
    let mut out = String::new();
    let mut last_answer = None;
    for (name, &id) in names.iter().zip(&shown) {
        let op = &history.operations()[id];
        let from = column(ranks[id].call);
        let (bar, to) = match ranks[id].ret {
            NEVER => (format!("|{}...", "-".repeat(end - from)), right),
            ret => (format!("|{}|", "-".repeat(column(ret) - from - 1)), column(ret) + 1),
        };
        let _ = writeln!(
            out,
            "  {name:margin$}  {}{bar}{}  {}{}",
            " ".repeat(from),
            " ".repeat(right.saturating_sub(to)),
            model.describe(&op.input, op.output()),
            if op.note.is_empty() { String::new() } else { format!("  ({})", op.note) },
        );
        if let Some(answer) = op.output() {
            let earlier: Option<(usize, &M::Output)> = last_answer;
            if let Some((before, difference)) =
                earlier.and_then(|(before, value)| Some((before, model.difference(value, answer)?)))
            {
                let _ =
                    writeln!(out, "  {:margin$}  {}  than #{before}: {difference}", "", " ".repeat(right));
            }
            last_answer = Some((id, answer));
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "  ... and {left_out} more");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Operation;
    use crate::models::{KvInput, KvStore};

    fn history() -> History<KvInput, crate::Text> {
        let long = "x".repeat(5000);
        History::new(vec![
            Operation::new(3, 10, KvInput::append("k", long.as_str()), 20, "".into()),
            Operation::pending(4, 15, KvInput::put("k", "b")),
            Operation::new(5, 21, KvInput::get("k"), 30, long.as_str().into()),
            Operation::new(6, 25, KvInput::get("k"), 40, format!("{long}y").into()),
        ])
        .unwrap()
    }

    #[test]
    fn bars_show_the_order_of_calls_and_returns() {
        let got = picture(&KvStore, &history(), &[3, 2, 1, 0]);
        let lines: Vec<&str> = got.lines().collect();
        assert!(lines[0].starts_with("  #0 client 3  |---|"), "{got}");
        assert!(lines[1].starts_with("  #1 client 4    |---"), "{got}");
        assert!(lines[1].contains("...  put \"k\" \"b\""), "{got}");
        assert!(lines[2].contains("get \"k\" -> \"xxxxxxxxxxx..xxxxxxxxxx\" (5000 bytes)"), "{got}");
        assert!(lines[4].ends_with("than #2: the 5000 bytes of before, then \"y\""), "{got}");
        assert!(got.len() < 1000, "values are never shown whole");
    }

    #[test]
    fn a_large_core_is_cut() {
        let ops: Vec<_> =
            (0..60).map(|i| Operation::new(i, 2 * i, KvInput::get("k"), 2 * i + 1, "".into())).collect();
        let h = History::new(ops).unwrap();
        let got = picture(&KvStore, &h, &(0..60).collect::<Vec<_>>());
        assert!(got.ends_with("  ... and 52 more\n"), "{got}");
        assert!(got.lines().count() == MAX_ROWS + 1);
    }
}
