//! [`About`]: whom and what a failure concerns, so that its reader is shown what led to it and nothing else.

use crate::events::{Events, Party, What};
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
}

impl About {
    /// As the failure's message names them, the thread that failed belongs to one, and the events that show it have them.
    pub(crate) fn of(failure: &Failure, events: &Events) -> About {
        let message = &failure.message;
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
        servers.sort_unstable();
        servers.dedup();
        let index = numbers_after(message, &["index", "entry"]).first().copied();
        let term = numbers_after(message, &["term"]).first().copied();
        About { servers, index, term }
    }
}

/// The numbers that follow one of these words: "servers 0, 1 and 4".
fn numbers_after<N: std::str::FromStr>(text: &str, words: &[&str]) -> Vec<N> {
    let mut numbers = Vec::new();
    let mut counts = false;
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        match word.parse() {
            Ok(number) if counts => numbers.push(number),
            _ => counts = words.contains(&word) || counts && word == "and" && !numbers.is_empty(),
        }
    }
    numbers
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
        assert_eq!(found, About { servers: vec![0, 1, 2, 4], index: Some(7), term: None });
        let found = about("server 1 voted twice in term 5: for server 0 and for 17 others");
        assert_eq!(found, About { servers: vec![0, 1], index: None, term: Some(5) });
        assert_eq!(about("3 servers, and 5 terms"), About::default());
    }
}
