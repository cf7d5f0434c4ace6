//! A history as one self-contained HTML page.
//!
//! The page needs no network and may not use any (its content security policy says so). Everything that comes
//! from the history travels as JSON in which no character can end the script element, and is shown as text,
//! never as markup.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use crate::history::{History, NEVER, intervals};
use crate::model::Model;
use crate::verdict::Verdict;

const TEMPLATE: &str = include_str!("page.html");

/// The page: verdict, core, and every operation on a time axis with a row per client.
///
/// `title` names the run. The size is about 100 bytes an operation, plus what the model's descriptions take.
pub fn page<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    verdict: &Verdict,
    title: &str,
) -> String {
    let data = data(model, history, verdict, title);
    let (head, rest) = TEMPLATE.split_once("{{title}}").expect("the template has a title");
    let (middle, tail) = rest.split_once("{{data}}").expect("the template has a place for the data");
    let mut page = String::with_capacity(TEMPLATE.len() + data.len() + title.len());
    page.push_str(head);
    for c in title.chars() {
        match c {
            '<' => page.push_str("&lt;"),
            '&' => page.push_str("&amp;"),
            c => page.push(c),
        }
    }
    page.push_str(middle);
    page.push_str(&data);
    page.push_str(tail);
    page
}

/// Everything the page shows, by columns.
fn data<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    verdict: &Verdict,
    title: &str,
) -> String {
    let ops = history.operations();
    let ranks = intervals(ops);
    let mut json = Json(String::from("{"));
    json.field("title", |j| j.text(title));
    let (kind, headline, sentence, partition, core, minimal, order, stuck, also) = match verdict {
        Verdict::Linearizable(w) => {
            ("linearizable", "", String::new(), None, &[][..], false, &w.order[..], None, &[][..])
        }
        Verdict::Unknown(why) => {
            ("unknown", "", why.to_string(), None, &[][..], false, &[][..], None, &[][..])
        }
        Verdict::Violation(v) => (
            "violation",
            v.title.as_str(),
            v.sentence.clone(),
            Some(v.partition.as_str()),
            &v.core[..],
            v.core_is_minimal,
            &v.partial[..],
            v.stuck,
            &v.also[..],
        ),
    };
    json.field("verdict", |j| j.text(kind));
    json.field("headline", |j| j.text(headline));
    json.field("sentence", |j| j.text(&sentence));
    json.field("core", |j| j.list(core, |j, id| j.number(*id as i64)));
    json.field("minimal", |j| j.0.push_str(if minimal { "true" } else { "false" }));
    json.field("stuck", |j| j.number(stuck.map_or(-1, |id| id as i64)));
    json.field("also", |j| j.list(also, |j, name| j.text(name)));

    // Partitions by first appearance.
    let mut names: Vec<String> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let partitions: Vec<usize> = ops
        .iter()
        .map(|op| {
            let name = model.partition(&op.input);
            match numbers.get(&*name) {
                Some(&number) => number,
                None => {
                    names.push(name.to_string());
                    numbers.insert(name.into_owned(), names.len() - 1);
                    names.len() - 1
                }
            }
        })
        .collect();
    json.field("partitions", |j| j.list(&names, |j, name| j.text(name)));
    let bad = partition.and_then(|name| numbers.get(name)).map_or(-1, |&n| n as i64);
    json.field("bad", |j| j.number(bad));

    json.field("who", |j| j.text(history.who()));
    // As text: the numbers of a script have too few digits for them.
    let clients: BTreeSet<u64> = ops.iter().map(|op| op.client).collect();
    let clients: Vec<u64> = clients.into_iter().collect();
    json.field("clients", |j| j.list(&clients, |j, client| j.text(&client.to_string())));
    let place = |client| clients.partition_point(|&other| other < client) as i64;
    json.field("client", |j| j.list(ops, |j, op| j.number(place(op.client))));
    json.field("part", |j| j.list(&partitions, |j, n| j.number(*n as i64)));
    // Positions on the axis are ranks: what overlaps is visible at every scale.
    json.field("from", |j| j.list(&ranks, |j, at| j.number(at.call.into())));
    json.field("to", |j| {
        j.list(&ranks, |j, at| j.number(if at.ret == NEVER { -1 } else { at.ret.into() }));
    });
    json.field("call", |j| j.list(ops, |j, op| j.text(&op.call.to_string())));
    json.field("ret", |j| {
        j.list(ops, |j, op| j.text(&op.returned.as_ref().map_or_else(String::new, |r| r.at.to_string())));
    });
    json.field("label", |j| j.list(ops, |j, op| j.text(&model.describe(&op.input, op.output()))));
    json.field("note", |j| j.list(ops, |j, op| j.text(&op.note)));

    // Each answer against the one before it on the same key.
    let mut by_call: Vec<usize> = (0..ops.len()).collect();
    by_call.sort_unstable_by_key(|&id| ranks[id].call);
    let mut last: HashMap<usize, &M::Output> = HashMap::new();
    let mut differences = vec![None; ops.len()];
    for &id in &by_call {
        if let Some(answer) = ops[id].output() {
            if let Some(before) = last.insert(partitions[id], answer) {
                differences[id] = model.difference(before, answer);
            }
        }
    }
    json.field("difference", |j| j.list(&differences, |j, d| j.text(d.as_deref().unwrap_or(""))));

    // Place in the order found, from 1, and the earliest moment that order allows.
    let (mut places, mut points) = (vec![0i64; ops.len()], vec![-1i64; ops.len()]);
    let mut latest = 0;
    for (place, &id) in order.iter().enumerate() {
        latest = latest.max(ranks[id].call);
        (places[id], points[id]) = (place as i64 + 1, latest.into());
    }
    json.field("place", |j| j.list(&places, |j, n| j.number(*n)));
    json.field("point", |j| j.list(&points, |j, n| j.number(*n)));

    let mut stamps: Vec<(u64, u32)> = Vec::with_capacity(2 * ops.len());
    for (op, at) in ops.iter().zip(&ranks) {
        stamps.push((op.call, at.call));
        stamps.extend(op.returned.as_ref().map(|r| (r.at, at.ret)));
    }
    stamps.sort_unstable();
    json.field("marks", |j| {
        j.list(history.marks(), |j, mark| {
            // Between the events around it.
            let before = stamps.partition_point(|&(stamp, _)| stamp < mark.at);
            let _ = write!(j.0, "[{},", before as f64 - 0.5);
            j.text(&mark.text);
            j.0.push(',');
            j.text(&mark.at.to_string());
            j.0.push(']');
        });
    });
    json.0.push('}');
    json.0
}

/// JSON that can stand inside a script element.
struct Json(String);

impl Json {
    fn field(&mut self, name: &str, value: impl FnOnce(&mut Json)) {
        if !self.0.ends_with('{') {
            self.0.push_str(",\n");
        }
        self.text(name);
        self.0.push(':');
        value(self);
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Json, &T)) {
        self.0.push('[');
        for (i, x) in items.iter().enumerate() {
            if i > 0 {
                self.0.push(',');
            }
            item(self, x);
        }
        self.0.push(']');
    }

    fn number(&mut self, n: i64) {
        let _ = write!(self.0, "{n}");
    }

    fn text(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                // "<" could begin "</script>" or "<!--"; the line separators end lines in scripts.
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' | '\u{7f}' => {
                    let _ = write!(self.0, "\\u{:04x}", c as u32);
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Mark, Operation};
    use crate::models::{KvInput, KvStore};
    use crate::{Options, check};

    #[test]
    fn nothing_from_the_history_becomes_markup() {
        let evil = "</script><script>alert(1)</script><!-- \u{2028} \u{0} \"'& \\u003c";
        let ops = vec![
            Operation::new(1, 1, KvInput::put(evil, evil), 2, "".into()),
            Operation::new(2, 3, KvInput::get(evil), 4, evil.to_uppercase().into()),
        ];
        let mut noted = ops.clone();
        noted[0].note = evil.into();
        let marks = vec![Mark { at: 2, text: evil.into() }];
        let history = History::with_marks(noted, marks).unwrap();
        let verdict = check(&KvStore, &history, &Options::default());
        let page = page(&KvStore, &history, &verdict, evil);
        let empty = super::page(&KvStore, &History::new(vec![]).unwrap(), &verdict, "");
        for mark in ["<script", "</script", "<!--"] {
            assert_eq!(page.matches(mark).count(), empty.matches(mark).count(), "{mark}");
        }
        assert!(page.contains("&lt;/script>"), "the title is escaped");
        assert!(!page.contains("alert(1)</"));
    }

    /// Of a number of a script the last digits would be lost, and some clients take random numbers for names.
    #[test]
    fn clients_keep_all_their_digits() {
        let ops = [7, u64::MAX, 7, (1 << 53) + 1]
            .map(|client| Operation::new(client, 1, KvInput::get("k"), 2, "".into()));
        let history = History::new(ops.to_vec()).unwrap();
        let verdict = check(&KvStore, &history, &Options::default());
        let page = page(&KvStore, &history, &verdict, "");
        let expected =
            "\"clients\":[\"7\",\"9007199254740993\",\"18446744073709551615\"],\n\"client\":[0,2,0,1],";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn the_page_asks_nobody() {
        assert!(TEMPLATE.contains("default-src 'none'"));
        for word in ["http:", "https:", "src=", "@import", "url(", "innerHTML", "eval("] {
            assert!(!TEMPLATE.contains(word), "{word}");
        }
    }
}
