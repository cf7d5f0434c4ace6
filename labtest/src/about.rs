//! [`About`]: whom and what a failure concerns, so that its reader is shown what led to it and nothing else.

use std::collections::BTreeMap;

use labrpc::Step;

use crate::events::{Events, Number, Party, What};
use crate::failure::Failure;

/// Whom and what a failure concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// Which servers, in order.
    pub(crate) servers: Vec<usize>,
    /// Which place in the log.
    pub(crate) index: Option<u64>,
    /// Which term.
    pub(crate) term: Option<u64>,
    /// Of the clients' operations that contradict each other, those that have returned, in that order.
    pub(crate) answers: Vec<Answer>,
}

/// Who answered an operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The event by which the operation was asked, and that by which it returned.
    pub(crate) asked: Number,
    pub(crate) returned: Number,
    /// From here the client heard last before that.
    pub(crate) server: usize,
}

impl About {
    /// As the failure's message names them, the thread that failed belongs to one, and the events that show it have them.
    pub(crate) fn of(failure: &Failure, events: &Events) -> About {
        // What follows the first paragraph are pictures and lists, with numbers of other kinds.
        let message = failure.message.split("\n\n").next().unwrap_or_default();
        let mut servers: Vec<usize> = numbers_after(message, &["server", "servers"]);
        servers.extend(failure.server);
        for event in failure.evidence.iter().filter_map(|&number| events.get(number)) {
            match &event.what {
                What::Message(passage) => {
                    let server = |party| match party {
                        Party::Server(life) => Some(life.server),
                        Party::Stranger => None,
                    };
                    servers.extend([passage.from, passage.to].into_iter().filter_map(server));
                }
                What::Apply { life, .. }
                | What::ApplySnapshot { life, .. }
                | What::State { life, .. }
                | What::Accept { life, .. } => servers.push(life.server),
                _ => {}
            }
        }
        let answers = answers(&failure.core, events);
        servers.extend(answers.iter().map(|answer| answer.server));
        servers.sort_unstable();
        servers.dedup();
        let index = numbers_after(message, &["index", "entry"]).first().copied();
        let term = numbers_after(message, &["term"]).first().copied();
        About { servers, index, term, answers }
    }
}

/// Who answered these operations, as far as the events that are kept show it.
fn answers(core: &[Number], events: &Events) -> Vec<Answer> {
    // By client, which has one operation after the other.
    let mut asking: BTreeMap<&str, (Number, Option<usize>)> = BTreeMap::new();
    let mut answers = Vec::new();
    for event in events.kept().filter(|_| !core.is_empty()) {
        match &event.what {
            What::Call { id, client, .. } if core.contains(id) => {
                asking.insert(client, (*id, None));
            }
            What::Message(passage) if passage.is_reply && passage.step == Step::Delivered => {
                let client = passage.stranger.as_deref().and_then(|client| asking.get_mut(client));
                if let (Some((_, server)), Party::Server(life)) = (client, passage.from) {
                    *server = Some(life.server);
                }
            }
            What::Return { id, .. } => {
                let asked = |(_, (asked, _)): &(&&str, &(Number, Option<usize>))| asked == id;
                let Some((&client, _)) = asking.iter().find(asked) else { continue };
                if let Some((asked, Some(server))) = asking.remove(client) {
                    answers.push(Answer { asked, returned: event.number, server });
                }
            }
            _ => {}
        }
    }
    answers
}

/// The numbers that follow one of these words: "servers 0, 1 and 4", each separated from the next by a comma or "and".
fn numbers_after<N: std::str::FromStr>(text: &str, words: &[&str]) -> Vec<N> {
    let mut numbers = Vec::new();
    let is_part = |c: char| c.is_ascii_alphanumeric();
    let mut rest = text;
    while let Some(at) = rest.find(is_part) {
        let (word, after) = split(&rest[at..], is_part);
        rest = after;
        if !words.contains(&word) {
            continue;
        }
        // Behind the word stands a space, and then as many numbers as there are.
        let mut list = after.strip_prefix(' ');
        while let Some((number, after)) = list.map(|list| split(list, is_part)) {
            let Ok(number) = number.parse() else { break };
            numbers.push(number);
            rest = after;
            list = after.strip_prefix(", ").or_else(|| after.strip_prefix(" and "));
        }
    }
    numbers
}

/// The first characters that are such, and what follows them.
fn split(text: &str, is_such: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is_such(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn servers_index_and_term_are_found_in_the_message() {
        let about =
            |message: &str| About::of(&Failure::new(message.to_string(), Duration::ZERO), &Events::default());
        let found = about("server 2 applied `10` at index 7, but servers 0, 1 and 4 have applied `20` there");
        assert_eq!(found, About { servers: vec![0, 1, 2, 4], index: Some(7), ..About::default() });
        let found = about("server 1 voted twice in term 5: for server 0 and for 17 others");
        assert_eq!(found, About { servers: vec![0, 1], term: Some(5), ..About::default() });
        assert_eq!(about("3 servers, and 5 terms"), About::default());
        let found =
            about("partition: servers 0 and 1 | servers 2\n  4.5 s: server 6 crashes (#9)\n\nserver 7");
        assert_eq!(found, About { servers: vec![0, 1, 2, 6], ..About::default() });
    }
}
