//! Patterns: which messages a line of a scenario means.
//!
//! ```text
//! vote A -> C in T held
//! ```
//!
//! A kind, from whom, to whom, and conditions. In a line that waits, a name that means nothing yet is given to whatever
//! server or term the message has; elsewhere all names must be known. Different names mean different servers.

use std::collections::BTreeMap;

use crate::scene::message::{Kind, Message, Place};

/// What names mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) servers: BTreeMap<String, usize>,
    pub(crate) terms: BTreeMap<String, u64>,
    pub(crate) commands: BTreeMap<String, Command>,
}

/// A command of the scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct Command {
    /// As it was given to `start`.
    pub(crate) bytes: Vec<u8>,
    /// Where a leader put it, and in which term; zeros before.
    pub(crate) index: u64,
    pub(crate) term: u64,
}

/// One condition on a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// The request is of the term of this name.
    In(String),
    /// The request is of a later term.
    After(String),
    /// It is of this term or an earlier one.
    Until(String),
    /// The vote is granted, the append a success.
    Yes,
    No,
    /// An append with entries, or without.
    Entries,
    Empty,
    /// An append with this command among its entries.
    Holds(String),
    /// It speaks of indexes up to this command's, or beyond.
    UpTo(String),
    /// It ends before this command's index.
    Short(String),
    /// An append that follows this command's index directly.
    Behind(String),
    /// An append that follows this command's index directly, with another term for it than its own.
    MisplacedAt(String),
    /// The last entry it speaks of is this command's, index and term.
    EndsAt(String),
    EndsElsewhere(String),
    /// An append that says this command is committed, or that it is not known to be.
    Commits(String),
    CommitsLess(String),
    /// Where it is now.
    At(Place),
}

/// Which messages are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// `None`: any of the paper's.
    kind: Option<Kind>,
    /// `None`: any server.
    from: Option<String>,
    to: Option<String>,
    conditions: Vec<Condition>,
    /// Only messages that are sent from now on.
    pub(crate) new: bool,
}

impl Pattern {
    /// The pattern that `words` spell; the error says what was expected.
    pub(crate) fn parse(words: &[&str]) -> Result<Pattern, String> {
        let [kind, from, "->", to, rest @ ..] = words else {
            return Err(format!(
                "expected a message such as `vote A -> B`, found `{}`: a kind, a server, `->`, a server, conditions",
                words.join(" ")
            ));
        };
        let known = || Kind::NAMES.map(|(name, _)| name).join(", ");
        let kind = match *kind {
            "any" => None,
            name => match Kind::NAMES.iter().find(|(known, _)| *known == name) {
                Some(&(_, kind)) => Some(kind),
                None => return Err(format!("expected a kind of message, found `{name}`: any, {}", known())),
            },
        };
        let server = |name: &str| (name != "*").then(|| name.to_string());
        let mut pattern =
            Pattern { kind, from: server(from), to: server(to), conditions: Vec::new(), new: false };
        let mut rest = rest.iter();
        while let Some(&word) = rest.next() {
            let mut name = || {
                let name = rest
                    .next()
                    .ok_or(format!("expected a name after `{word}`, found the end of the line"))?;
                Ok::<_, String>((*name).to_string())
            };
            let condition = match word {
                "new" => {
                    pattern.new = true;
                    continue;
                }
                "in" => Condition::In(name()?),
                "after" => Condition::After(name()?),
                "until" => Condition::Until(name()?),
                "granted" | "accepted" => Condition::Yes,
                "denied" | "refused" => Condition::No,
                "entries" => Condition::Entries,
                "empty" => Condition::Empty,
                "holds" => Condition::Holds(name()?),
                "up-to" => Condition::UpTo(name()?),
                "short-of" => Condition::Short(name()?),
                "behind" => Condition::Behind(name()?),
                "misplaced-at" => Condition::MisplacedAt(name()?),
                "ends-at" => Condition::EndsAt(name()?),
                "not-ends-at" => Condition::EndsElsewhere(name()?),
                "commits" => Condition::Commits(name()?),
                "not-commits" => Condition::CommitsLess(name()?),
                "sent" => Condition::At(Place::Sent),
                "held" => Condition::At(Place::Held),
                "delivered" => Condition::At(Place::Delivered),
                "dropped" => Condition::At(Place::Dropped),
                other => {
                    return Err(format!(
                        "expected a condition, found `{other}`: in T, after T, until T, granted, denied, accepted, refused, \
                         entries, empty, holds x, up-to x, short-of x, behind x, misplaced-at x, ends-at x, not-ends-at x, \
                         commits x, not-commits x, sent, held, delivered, dropped, new"
                    ));
                }
            };
            pattern.conditions.push(condition);
        }
        Ok(pattern)
    }

    /// Fails unless all names are known.
    pub(crate) fn check_names(&self, names: &Names) -> Result<(), String> {
        for name in self.from.iter().chain(&self.to) {
            if !names.servers.contains_key(name) {
                return Err(format!("expected a server that the scenario knows by now, found `{name}`"));
            }
        }
        for condition in &self.conditions {
            match condition {
                Condition::In(name) | Condition::After(name) | Condition::Until(name)
                    if !names.terms.contains_key(name) =>
                {
                    return Err(format!("expected a term that the scenario knows by now, found `{name}`"));
                }
                _ => {}
            }
        }
        self.check_commands(names)
    }

    /// Fails unless all commands have been given.
    pub(crate) fn check_commands(&self, names: &Names) -> Result<(), String> {
        use Condition::*;
        for condition in &self.conditions {
            match condition {
                UpTo(name) | Short(name) | Behind(name) | MisplacedAt(name) | EndsAt(name)
                | EndsElsewhere(name) | Commits(name) | CommitsLess(name)
                    if names.commands.get(name).is_none_or(|command| command.index == 0) =>
                {
                    return Err(format!("expected a command that a leader has accepted, found `{name}`"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether messages of any kind between these servers are meant, a solution's own kinds too.
    pub(crate) fn matches_any(&self, from: usize, to: usize, names: &Names) -> bool {
        let is = |name: &Option<String>, server: usize| {
            name.as_ref().is_none_or(|name| names.servers.get(name) == Some(&server))
        };
        self.kind.is_none() && self.conditions.is_empty() && is(&self.from, from) && is(&self.to, to)
    }

    /// Whether `message` may be meant, whatever meaning names get that mean nothing yet.
    pub(crate) fn may_match(&self, message: &Message, names: &Names) -> bool {
        self.kind.is_none_or(|kind| kind == message.kind)
            && (self.check_names(names).is_err() || self.matches(message, &mut names.clone()))
    }

    /// Whether `message` is meant. Names that mean nothing yet are given a meaning; then `names` is changed.
    pub(crate) fn matches(&self, message: &Message, names: &mut Names) -> bool {
        if self.kind.is_some_and(|kind| kind != message.kind) {
            return false;
        }
        let mut given = names.clone();
        let server = |name: &Option<String>, server: usize, given: &mut Names| match name {
            None => true,
            Some(name) => match given.servers.get(name) {
                Some(&known) => known == server,
                None if given.servers.values().any(|&other| other == server) => false,
                None => given.servers.insert(name.clone(), server).is_none(),
            },
        };
        if !server(&self.from, message.from, &mut given) || !server(&self.to, message.to, &mut given) {
            return false;
        }
        if !self.conditions.iter().all(|condition| condition.holds(message, &mut given)) {
            return false;
        }
        *names = given;
        true
    }
}

impl Condition {
    fn holds(&self, message: &Message, names: &mut Names) -> bool {
        let index = |name: &String| names.commands.get(name).map_or(u64::MAX, |command| command.index);
        let place = |name: &String| names.commands.get(name).map(|command| (command.index, command.term));
        match self {
            Condition::In(name) => match names.terms.get(name) {
                Some(&term) => term == message.asked_in,
                None => names.terms.insert(name.clone(), message.asked_in).is_none(),
            },
            Condition::After(name) => names.terms.get(name).is_some_and(|&term| message.asked_in > term),
            Condition::Until(name) => names.terms.get(name).is_some_and(|&term| message.asked_in <= term),
            Condition::Yes => message.yes,
            Condition::No => !message.yes,
            Condition::Entries => !message.commands.is_empty(),
            Condition::Empty => message.commands.is_empty(),
            Condition::Holds(name) => {
                names.commands.get(name).is_some_and(|command| message.commands.contains(&command.bytes))
            }
            Condition::UpTo(name) => message.last.0 >= index(name),
            Condition::Short(name) => message.last.0 < index(name),
            Condition::Behind(name) => message.prev.0 == index(name),
            Condition::MisplacedAt(name) => {
                place(name).is_some_and(|(index, term)| message.prev.0 == index && message.prev.1 != term)
            }
            Condition::EndsAt(name) => Some(message.last) == place(name),
            Condition::EndsElsewhere(name) => Some(message.last) != place(name),
            Condition::Commits(name) => message.commit >= index(name),
            Condition::CommitsLess(name) => message.commit < index(name),
            Condition::At(place) => message.place == *place,
        }
    }
}
