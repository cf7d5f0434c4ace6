//! Scenarios: schedules of single messages, written as text, with what is expected of them.
//!
//! The scenarios are the files of `scenarios/`; each is a test that bears its name. They never make up a message:
//! they hold, lose, copy and release what servers really said. A schedule waits for what it needs, so that it suits any
//! correct solution. If what it needs does not come about - the wrong server was faster - the faults end, the
//! cluster must recover, and the schedule is tried again, [`ATTEMPTS`] times in all; a run in which it never came about says
//! so in a warning.
//!
//! # The language
//!
//! One statement a line; `#` begins a comment. A text that is indented below a statement is its objection: what is wrong
//! if it does not hold. `{A}` in it stands for what the name `A` means. Names are given by statements that wait.
//!
//! | statement | meaning |
//! |---|---|
//! | `servers N`, `snapshots` | at the beginning: the cluster; whether the service makes snapshots, at indexes 9, 19, ... |
//! | `leader L [in T] [others A B ..]` | waits until a server leads and a majority is in its term; if `L` is known, until it leads. The others get their names in a random order |
//! | `agree x N` | gives a command to whoever leads and waits until N servers have applied it |
//! | `fill N [by M]` | agrees on commands, of all or of M servers, until the last index ends in the digit N |
//! | `start L x y ..` | gives commands to a leader, who must accept them |
//! | `hold`, `drop`, `lose`, `copy`, `pass` MESSAGE | from now on such messages are put aside; dropped, which the sender learns; dropped without notice; delivered, and a copy put aside; delivered. The newest rule that fits decides |
//! | `isolate A ..` | drops all messages from and to servers, but cuts no connection: what is held can still come |
//! | `calm` | ends these rules |
//! | `release` MESSAGE | lets those put aside arrive; there must be one |
//! | `wait` MESSAGE `[and` MESSAGE ..`]` | waits for messages that fit together |
//! | `wait applied x by N` | waits until N servers have applied a command |
//! | `trap A at` MESSAGE | as the first such message leaves, server `A` loses its power: nothing passes any more, and what it saves is lost |
//! | `crash A ..`, `restart A ..` | crash waits for a trap that was set; restart also connects; `all` for all servers |
//! | `cut A ..`, `join A ..` | disconnects servers from all others; connects them again |
//! | `fast`, `slow`, `steady` A .. | lets a clock run at three times or a quarter of its speed, or as it should |
//! | `hoard A ..` | their services make no snapshots until the attempt is over |
//! | `sleep 300ms` | lets time pass |
//! | `never` MESSAGE | from now on, such a message is wrong |
//! | `expect` FACT | the fact must hold now: `leads A in T`, `not leads A`, `follows A`, `nowhere x`, `applied x by N`, `not applied x by A` |
//! | `must leader L [in T]` | as `leader`, but within 5 s |
//! | `must` FACT or MESSAGE | the fact must come to hold within 5 s |
//!
//! A MESSAGE is described in [`pattern`](crate::scene::pattern).

pub(crate) mod message;
pub(crate) mod pattern;
pub(crate) mod stage;

use std::time::Duration;

use labrpc::{Fate, Notice};

use crate::config::{Config, Net, targeted_test};
use pattern::{Command, Names, Pattern};
use stage::Stage;

/// How often a schedule is tried in one run.
const ATTEMPTS: u32 = 5;

/// How long a schedule waits for what it needs.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long a solution has for what it must do.
const MUST_LIMIT: Duration = Duration::from_secs(5);

/// A statement, where it stands, and its objection.
#[derive(Clone, Debug)]
struct Line {
    number: usize,
    statement: Statement,
    objection: String,
}

#[derive(Clone, Debug)]
enum Statement {
    Leader { leader: String, term: Option<String>, others: Vec<String> },
    Agree { command: String, servers: usize },
    Fill { digit: u64, servers: Option<usize> },
    Start { leader: String, commands: Vec<String> },
    Rule(Fate, Pattern),
    Isolate(Vec<String>),
    Calm,
    Release(Pattern),
    Wait(Vec<Pattern>),
    WaitFact(Fact),
    Trap { server: String, pattern: Pattern },
    Crash(Vec<String>),
    Restart(Vec<String>),
    Cut(Vec<String>),
    Join(Vec<String>),
    Tempo { ppm: i64, servers: Vec<String> },
    Hoard(Vec<String>),
    Sleep(Duration),
    Never(Pattern),
    Expect(Fact),
    MustLeader { leader: String, term: Option<String> },
    MustFact(Fact),
    MustMessage(Pattern),
}

#[derive(Clone, Debug)]
enum Fact {
    Leads { server: String, term: String },
    LeadsNot(String),
    Nowhere(String),
    Applied { command: String, servers: usize },
    AppliedNot { command: String, server: String },
}

/// A scenario that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    file: String,
    servers: usize,
    snapshots: bool,
    lines: Vec<Line>,
}

impl Scenario {
    /// Reads a scenario. The error names the file, the line and what was expected there.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Scenario, String> {
        let mut scenario =
            Scenario { file: file.to_string(), servers: 0, snapshots: false, lines: Vec::new() };
        for (number, raw) in (1..).zip(text.lines()) {
            let at = |why: String| format!("{file}:{number}: {why}");
            let line = raw.split('#').next().unwrap_or_default();
            if line.trim().is_empty() {
                continue;
            }
            if line.starts_with(' ') {
                let Some(last) = scenario.lines.last_mut() else {
                    return Err(at("expected a statement, found an indented text below none".to_string()));
                };
                if !last.objection.is_empty() {
                    last.objection.push(' ');
                }
                last.objection.push_str(line.trim());
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["servers", n] => {
                    scenario.servers =
                        n.parse().map_err(|_| at(format!("expected a number of servers, found `{n}`")))?;
                }
                ["snapshots"] => scenario.snapshots = true,
                _ => {
                    let statement = Statement::parse(&words).map_err(at)?;
                    scenario.lines.push(Line { number, statement, objection: String::new() });
                }
            }
        }
        if scenario.servers < 2 {
            return Err(format!("{file}: expected a line `servers N` with 2 or more servers, found none"));
        }
        for line in &scenario.lines {
            let judges = matches!(
                line.statement,
                Statement::Never(_)
                    | Statement::Expect(_)
                    | Statement::MustLeader { .. }
                    | Statement::MustFact(_)
                    | Statement::MustMessage(_)
            );
            if judges != line.objection.starts_with("rule ") {
                let expected =
                    if judges { "an indented text that begins with `rule`" } else { "no indented text" };
                return Err(format!("{file}:{}: expected {expected} below this statement", line.number));
            }
        }
        Ok(scenario)
    }
}

impl Statement {
    fn parse(words: &[&str]) -> Result<Statement, String> {
        let names = |names: &[&str]| -> Result<Vec<String>, String> {
            if names.is_empty() {
                return Err(format!("expected names of servers, or `all`, after `{}`", words[0]));
            }
            Ok(names.iter().map(ToString::to_string).collect())
        };
        let number = |word: &str| word.parse().map_err(|_| format!("expected a number, found `{word}`"));
        let ppm = |fast: i64, of: &[&str]| Ok(Statement::Tempo { ppm: fast, servers: names(of)? });
        let rule = |fate, of: &[&str]| Ok(Statement::Rule(fate, Pattern::parse(of)?));
        match words {
            ["leader", leader, rest @ ..] => {
                let (term, rest) = match rest {
                    ["in", term, rest @ ..] => (Some(term.to_string()), rest),
                    _ => (None, rest),
                };
                let others = match rest {
                    ["others", others @ ..] => others.iter().map(ToString::to_string).collect(),
                    [] => Vec::new(),
                    [word, ..] => return Err(format!("expected `in T` or `others A B`, found `{word}`")),
                };
                Ok(Statement::Leader { leader: leader.to_string(), term, others })
            }
            ["agree", command, n] => {
                Ok(Statement::Agree { command: command.to_string(), servers: number(n)? as usize })
            }
            ["fill", n] => Ok(Statement::Fill { digit: number(n)?, servers: None }),
            ["fill", n, "by", m] => {
                Ok(Statement::Fill { digit: number(n)?, servers: Some(number(m)? as usize) })
            }
            ["start", leader, commands @ ..] => {
                Ok(Statement::Start { leader: leader.to_string(), commands: names(commands)? })
            }
            ["hold", of @ ..] => rule(Fate::Hold, of),
            ["drop", of @ ..] => rule(Fate::Drop(Notice::AtOnce), of),
            ["lose", of @ ..] => rule(Fate::Drop(Notice::ByTimeout), of),
            ["copy", of @ ..] => rule(Fate::Keep, of),
            ["pass", of @ ..] => rule(Fate::Deliver, of),
            ["isolate", of @ ..] => Ok(Statement::Isolate(names(of)?)),
            ["calm"] => Ok(Statement::Calm),
            ["release", of @ ..] => Ok(Statement::Release(Pattern::parse(of)?)),
            ["wait", "applied", of @ ..] => Ok(Statement::WaitFact(Fact::parse("applied", of)?)),
            ["wait", of @ ..] => Ok(Statement::Wait(
                of.split(|word| *word == "and").map(Pattern::parse).collect::<Result<_, _>>()?,
            )),
            ["trap", server, "at", of @ ..] => {
                Ok(Statement::Trap { server: server.to_string(), pattern: Pattern::parse(of)? })
            }
            ["crash", of @ ..] => Ok(Statement::Crash(names(of)?)),
            ["restart", of @ ..] => Ok(Statement::Restart(names(of)?)),
            ["cut", of @ ..] => Ok(Statement::Cut(names(of)?)),
            ["join", of @ ..] => Ok(Statement::Join(names(of)?)),
            ["fast", of @ ..] => ppm(2_000_000, of),
            ["slow", of @ ..] => ppm(-750_000, of),
            ["steady", of @ ..] => ppm(0, of),
            ["hoard", of @ ..] => Ok(Statement::Hoard(names(of)?)),
            ["sleep", time] => {
                let ms = time.strip_suffix("ms").and_then(|ms| ms.parse().ok());
                let ms = ms.ok_or(format!("expected a time such as `300ms`, found `{time}`"))?;
                Ok(Statement::Sleep(Duration::from_millis(ms)))
            }
            ["never", of @ ..] => Ok(Statement::Never(Pattern::parse(of)?)),
            ["expect", what, of @ ..] => Ok(Statement::Expect(Fact::parse(what, of)?)),
            ["must", "leader", leader] => {
                Ok(Statement::MustLeader { leader: leader.to_string(), term: None })
            }
            ["must", "leader", leader, "in", term] => {
                Ok(Statement::MustLeader { leader: leader.to_string(), term: Some(term.to_string()) })
            }
            ["must", of @ ..] if of.contains(&"->") => Ok(Statement::MustMessage(Pattern::parse(of)?)),
            ["must", what, of @ ..] => Ok(Statement::MustFact(Fact::parse(what, of)?)),
            _ => Err(format!(
                "expected a statement, found `{}`: leader, agree, fill, start, hold, drop, lose, copy, pass, isolate, calm, \
                 release, wait, trap, crash, restart, cut, join, fast, slow, steady, hoard, sleep, never, expect, must",
                words.join(" ")
            )),
        }
    }
}

impl Fact {
    fn parse(what: &str, of: &[&str]) -> Result<Fact, String> {
        let text = ToString::to_string;
        match (what, of) {
            ("leads", [server, "in", term]) => Ok(Fact::Leads { server: text(server), term: text(term) }),
            ("not", ["leads", server]) => Ok(Fact::LeadsNot(text(server))),
            ("nowhere", [command]) => Ok(Fact::Nowhere(text(command))),
            ("applied", [command, "by", n]) => {
                let servers = n.parse().map_err(|_| format!("expected a number of servers, found `{n}`"))?;
                Ok(Fact::Applied { command: text(command), servers })
            }
            ("not", ["applied", command, "by", server]) => {
                Ok(Fact::AppliedNot { command: text(command), server: text(server) })
            }
            _ => Err(format!(
                "expected `leads A in T`, `not leads A`, `nowhere x`, `applied x by N` or `not applied x by A`, found \
                 `{what} {}`",
                of.join(" ")
            )),
        }
    }
}

/// Why a schedule was given up.
struct NotSo(String);

/// A scenario on its cluster.
pub(crate) struct Scene<'a> {
    cfg: &'a Config,
    stage: Stage,
    file: String,
    names: Names,
    /// Tells the commands of one attempt from those of another.
    attempt: u32,
}

/// Runs the scenario of this text as a test; `F` bears the test's name.
pub(crate) fn play<F: Fn()>(_name: F, file: &'static str, text: &'static str) {
    let scenario = Scenario::parse(file, text).unwrap_or_else(|why| panic!("{why}"));
    let (servers, snapshots) = (scenario.servers, scenario.snapshots);
    targeted_test::<F>(servers, Net::Reliable, snapshots, move |cfg| {
        let mut scene = Scene::new(cfg, &scenario.file);
        scene.attempts(|scene| scene.perform(&scenario));
    });
}

impl<'a> Scene<'a> {
    pub(crate) fn new(cfg: &'a Config, file: &str) -> Scene<'a> {
        let stage = Stage::on(cfg);
        Scene { cfg, stage, file: file.to_string(), names: Names::default(), attempt: 0 }
    }

    /// Tries `schedule` until it has come about. After each try the faults end, and the cluster must agree again.
    fn attempts(&mut self, schedule: impl Fn(&mut Scene<'a>) -> Result<(), NotSo>) {
        for attempt in 1..=ATTEMPTS {
            self.attempt = attempt;
            self.names = Names::default();
            self.stage.clear();
            let outcome = schedule(self);
            // What was forbidden in that situation may be right in those that follow.
            self.judge();
            self.stage.permit();
            self.cfg.phase("no faults any more");
            self.recover();
            match outcome {
                Ok(()) => return,
                Err(NotSo(why)) => log::info!("attempt {attempt} did not come about: {why}"),
            }
            if attempt == ATTEMPTS {
                self.cfg.warn(format!(
                    "the schedule did not come about in {ATTEMPTS} attempts, so this run tested no more than that the servers \
                     recover"
                ));
            }
        }
    }

    /// Ends all faults: the servers must agree again, in lab 2A on a leader.
    fn recover(&self) {
        self.stage.calm();
        for server in self.cfg.all() {
            self.cfg.set_drift(server, 0);
            self.cfg.set_hoards(server, false);
            if !self.cfg.is_alive(server) {
                self.cfg.restart(server);
            }
            if !self.cfg.is_connected(server) {
                self.cfg.connect(server);
            }
        }
        self.stage.release(None, &self.names);
        // Who has come as far as lab 2A can elect, and no more.
        if self.file.ends_with("_2A.txt") {
            self.cfg.check_one_leader();
        } else {
            self.cfg.one_retry(format!("recovered-{}", self.attempt), self.cfg.servers());
        }
        self.judge();
    }

    fn judge(&self) {
        if let Some(objection) = self.stage.objection() {
            self.cfg.fail(objection);
        }
    }

    fn perform(&mut self, scenario: &Scenario) -> Result<(), NotSo> {
        self.cfg.phase(format!("attempt {}", self.attempt));
        for line in &scenario.lines {
            log::info!("{}:{}: {:?}", self.file, line.number, line.statement);
            let done = self.step(line);
            self.judge();
            done.map_err(|why| NotSo(format!("{}:{}: {why}", self.file, line.number)))?;
        }
        Ok(())
    }

    fn step(&mut self, line: &Line) -> Result<(), String> {
        let cfg = self.cfg;
        match &line.statement {
            Statement::Leader { leader, term, others } => {
                let found = self.leader(leader, PATIENCE).ok_or("no leader")?;
                self.know_leader(leader, term, found);
                for name in others {
                    let free: Vec<usize> =
                        cfg.all().filter(|it| !self.names.servers.values().any(|s| s == it)).collect();
                    let drawn = free[cfg.random_below(free.len() as u64) as usize];
                    self.names.servers.insert(name.clone(), drawn);
                }
            }
            Statement::Agree { command, servers } => {
                let bytes = self.command(command);
                let index = cfg.one_retry(&bytes, *servers);
                let entry = Command { bytes: bytes.into_bytes(), index, term: 0 };
                self.names.commands.insert(command.clone(), entry);
            }
            Statement::Fill { digit, servers } => {
                while cfg.highest_applied() % 10 != *digit {
                    cfg.one_retry(cfg.random_command(), servers.unwrap_or(cfg.servers()));
                }
            }
            Statement::Start { leader, commands } => {
                let server = self.server(leader)?;
                for command in commands {
                    let bytes = self.command(command);
                    // The rules that speak of it by its bytes must know it before it is sent.
                    let start = cfg.start(server, &bytes).map_err(|_| "the leader has gone")?;
                    let entry = Command { bytes: bytes.into_bytes(), index: start.index, term: start.term };
                    self.names.commands.insert(command.clone(), entry);
                }
            }
            Statement::Rule(fate, pattern) => {
                self.learn(pattern)?;
                self.stage.rule(pattern.clone(), &self.names, *fate);
            }
            Statement::Isolate(of) => {
                for name in of {
                    for way in [["any", name, "->", "*"], ["any", "*", "->", name]] {
                        let pattern = Pattern::parse(&way)?;
                        self.learn(&pattern)?;
                        self.stage.rule(pattern, &self.names, Fate::Drop(Notice::AtOnce));
                    }
                }
            }
            Statement::Calm => self.stage.calm(),
            Statement::Release(pattern) => {
                self.learn(pattern)?;
                if self.stage.release(Some(pattern), &self.names) == 0 {
                    return Err("nothing of the kind is held".to_string());
                }
                // What the release sets off takes no time worth mentioning, but some.
                cfg.sleep(Duration::from_millis(20));
            }
            Statement::Wait(patterns) => {
                patterns
                    .iter()
                    .try_for_each(|pattern| pattern.check_commands(&self.names))
                    .unwrap_or_else(|why| panic!("{}:{}: {why}", self.file, line.number));
                self.names = self.stage.wait(patterns, &self.names, PATIENCE).ok_or("no such messages")?;
            }
            Statement::WaitFact(fact) => {
                cfg.wait_until(PATIENCE, || self.holds(fact).then_some(())).ok_or("it was not applied")?;
            }
            Statement::Trap { server, pattern } => {
                self.learn(pattern)?;
                self.stage.trap(self.server(server)?, pattern.clone(), &self.names);
            }
            Statement::Crash(of) => {
                for server in self.several(of)? {
                    if self.stage.has_trap(server) {
                        let disk = self.stage.sprung(server, PATIENCE).ok_or("the trap did not spring")?;
                        cfg.crash_back_to(server, &disk);
                    } else {
                        cfg.crash(server);
                    }
                }
            }
            Statement::Restart(of) => {
                for server in self.several(of)? {
                    cfg.restart(server);
                    cfg.connect(server);
                }
            }
            Statement::Cut(of) => self.several(of)?.into_iter().for_each(|server| cfg.disconnect(server)),
            Statement::Join(of) => self.several(of)?.into_iter().for_each(|server| cfg.connect(server)),
            Statement::Tempo { ppm, servers } => {
                self.several(servers)?.into_iter().for_each(|server| cfg.set_drift(server, *ppm));
            }
            Statement::Hoard(of) => {
                self.several(of)?.into_iter().for_each(|server| cfg.set_hoards(server, true));
            }
            Statement::Sleep(time) => cfg.sleep(*time),
            Statement::Never(pattern) => {
                self.learn(pattern)?;
                self.stage.forbid(pattern.clone(), &self.names, self.objection(line));
            }
            Statement::Expect(fact) => {
                if !self.holds(fact) {
                    cfg.fail(self.objection(line));
                }
            }
            Statement::MustLeader { leader, term } => match self.leader(leader, MUST_LIMIT) {
                Some(found) => self.know_leader(leader, term, found),
                None => cfg.fail(self.objection(line)),
            },
            Statement::MustFact(fact) => {
                if cfg.wait_until_asked(MUST_LIMIT, || self.holds(fact).then_some(())).is_none() {
                    cfg.fail(self.objection(line));
                }
            }
            Statement::MustMessage(pattern) => {
                let found = self.stage.wait(std::slice::from_ref(pattern), &self.names, MUST_LIMIT);
                match found {
                    Some(names) => self.names = names,
                    None => cfg.fail(self.objection(line)),
                }
            }
        }
        Ok(())
    }

    /// Waits until the server of this name leads, or if it means none yet, one that no other name means.
    fn leader(&self, name: &str, limit: Duration) -> Option<(usize, u64)> {
        let servers = &self.names.servers;
        self.cfg.wait_for_leader(limit, |server| match servers.get(name) {
            Some(&known) => server == known,
            None => !servers.values().any(|&other| other == server),
        })
    }

    fn know_leader(&mut self, name: &str, term: &Option<String>, (server, its): (usize, u64)) {
        self.names.servers.insert(name.to_string(), server);
        if let Some(term) = term {
            self.names.terms.insert(term.clone(), its);
        }
    }

    /// As it is given to `start`: no two attempts have a command in common.
    fn command(&self, name: &str) -> String {
        format!("{name}.{}", self.attempt)
    }

    /// Checks that all names of a pattern are known; commands that it is to find by what they are need not have been
    /// given yet.
    fn learn(&self, pattern: &Pattern) -> Result<(), String> {
        pattern.check_names(&self.names)
    }

    fn server(&self, name: &str) -> Result<usize, String> {
        let server = self.names.servers.get(name).copied();
        server.ok_or(format!("expected a server that the scenario knows by now, found `{name}`"))
    }

    fn several(&self, names: &[String]) -> Result<Vec<usize>, String> {
        if names == ["all"] {
            return Ok(self.cfg.all().collect());
        }
        names.iter().map(|name| self.server(name)).collect()
    }

    fn holds(&self, fact: &Fact) -> bool {
        let cfg = self.cfg;
        let command = |name: &String| self.names.commands.get(name).cloned().unwrap_or_default();
        let server = |name: &String| self.names.servers[name];
        match fact {
            Fact::Leads { server: name, term } => cfg
                .state(server(name))
                .is_some_and(|state| state.is_leader && state.term == self.names.terms[term]),
            Fact::LeadsNot(name) => cfg.state(server(name)).is_none_or(|state| !state.is_leader),
            Fact::Nowhere(name) => !cfg.was_applied(&command(name).bytes),
            Fact::Applied { command: name, servers } => {
                cfg.appliers_of(&command(name).bytes).len() >= *servers
            }
            Fact::AppliedNot { command: name, server: by } => {
                !cfg.appliers_of(&command(name).bytes).contains(&server(by))
            }
        }
    }

    /// The objection below a line, with what its names mean.
    fn objection(&self, line: &Line) -> String {
        let mut text = line.objection.clone();
        for (name, server) in &self.names.servers {
            text = text.replace(&format!("{{{name}}}"), &server.to_string());
        }
        for (name, term) in &self.names.terms {
            text = text.replace(&format!("{{{name}}}"), &term.to_string());
        }
        for (name, command) in &self.names.commands {
            text = text
                .replace(&format!("{{{name}}}"), &format!("`{}`", String::from_utf8_lossy(&command.bytes)));
            text = text.replace(&format!("{{{name}.index}}"), &command.index.to_string());
        }
        format!("{text} ({}:{})", self.file, line.number)
    }
}

/// The test of each scenario, and one that no file of the directory is forgotten.
macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let file = concat!("raft/tests/scenarios/", stringify!($name), ".txt");
            crate::scene::play(|| (), file, include_str!(concat!("scenarios/", stringify!($name), ".txt")));
        })*

        #[test]
        fn every_file_is_a_test() {
            let listed = [$(concat!(stringify!($name), ".txt")),*];
            let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
            let mut found: Vec<String> = std::fs::read_dir(directory)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            let mut listed: Vec<String> = listed.map(str::to_string).to_vec();
            listed.sort();
            assert_eq!(found, listed, "the list in scenarios.rs names each file of scenarios/ once");
        }
    };
}
pub(crate) use scenarios;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_objects(text: &str, parts: &[&str]) {
        let why = Scenario::parse("x_2B.txt", text).unwrap_err();
        for part in parts {
            assert!(why.contains(part), "{part:?} is missing in: {why}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        assert_objects("servers 3\n\nlead L\n", &["x_2B.txt:3:", "expected a statement, found `lead L`"]);
        assert_objects("leader L\n", &["expected a line `servers N`"]);
        assert_objects("servers 3\nhold vote A B\n", &["x_2B.txt:2:", "a kind, a server, `->`"]);
        assert_objects("servers 3\nhold vote A -> B gently\n", &["expected a condition, found `gently`"]);
        assert_objects("servers 3\nhold votes A -> B\n", &["expected a kind of message, found `votes`"]);
        assert_objects("servers 3\nsleep 3s\n", &["expected a time such as `300ms`, found `3s`"]);
        assert_objects("servers 3\nwait vote A -> B in\n", &["expected a name after `in`"]);
    }

    #[test]
    fn a_judgement_without_a_rule_is_refused() {
        assert_objects("servers 3\nexpect nowhere x\n", &["x_2B.txt:2:", "begins with `rule`"]);
        assert_objects("servers 3\ncalm\n  rule one\n", &["x_2B.txt:2:", "expected no indented text"]);
    }

    /// The rules that a text names: `rule some-name`.
    fn rules_in(text: &str) -> impl Iterator<Item = String> {
        text.split("rule ").skip(1).filter_map(|rest| {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            name.contains('-').then_some(name)
        })
    }

    #[test]
    fn each_rule_that_a_test_names_has_a_page_and_each_page_is_named() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/");
        let list = |directory: &str| {
            let entries = std::fs::read_dir(format!("{here}{directory}")).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let rules = labtest::RULES.into_iter().chain(labtest::rules::CHECKED);
        let mut named: Vec<String> = rules.map(|rule| rule.id.to_string()).collect();
        for file in list("tests/scenarios") {
            named.extend(rules_in(&std::fs::read_to_string(file).unwrap()));
        }
        named.sort();
        named.dedup();
        let mut pages = Vec::new();
        for path in list("../docs/rules") {
            let page = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let parts =
                [&format!("# {name}\n"), "\nIn the paper: ", "\n## Usual causes\n", "\n## What to look at\n"];
            let missing = parts.iter().find(|part| !page.contains(**part));
            assert_eq!(missing, None, "{name}.md");
            pages.push(name);
        }
        pages.sort();
        assert_eq!(named, pages);
    }
}
