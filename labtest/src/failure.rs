//! The first failure of a run, and how it is caught in whichever thread it happens.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;
use std::time::Duration;

use crate::events::Number;
use crate::oracles::{Objection, Rule};
use crate::runner;
use crate::threads;

/// Why a run failed: a check that objected, a panic, or a limit that passed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// File, line and column; of a check, those of the test that made it.
    pub(crate) location: Option<String>,
    /// `None` if no thread in particular is to blame.
    pub(crate) thread: Option<String>,
    /// The server the thread belongs to or works for.
    pub(crate) server: Option<usize>,
    /// Time since the run began.
    pub(crate) at: Duration,
    /// If `RUST_BACKTRACE` asks for one. Finding its functions' names takes a while, so not before the report.
    pub(crate) backtrace: Option<Backtrace>,
    /// The rule of Raft that was broken, if an oracle knows one.
    pub(crate) rule: Option<&'static Rule>,
    /// The events that show it, oldest first.
    pub(crate) evidence: Vec<Number>,
    /// The clients' operations that contradict each other.
    pub(crate) core: Vec<Number>,
}

/// What somebody objects to who looks at a run when it is over.
#[derive(Debug, Default)]
pub struct Finding {
    /// What is wrong, in its first line; the others tell more.
    pub text: String,
    /// The rule that was broken, if it is one.
    pub rule: Option<&'static Rule>,
    /// The clients' operations that contradict each other, if that is what is wrong, by the numbers that
    /// [`Run::client_asks`](crate::Run::client_asks) gave them.
    pub core: Vec<Number>,
    /// A file that shows more: what it is, and where.
    pub file: Option<String>,
}

impl From<String> for Finding {
    fn from(text: String) -> Finding {
        Finding { text, ..Finding::default() }
    }
}

/// As reports have it: the rule stands below the first line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, more) = self.text.split_once('\n').unwrap_or((&self.text, ""));
        writeln!(f, "{first}")?;
        if let Some(rule) = self.rule {
            writeln!(f, "{rule}")?;
        }
        f.write_str(more)
    }
}

impl Failure {
    /// With this message, of which no more is known.
    pub(crate) fn new(message: String, at: Duration) -> Failure {
        Failure {
            message,
            location: None,
            thread: None,
            server: None,
            at,
            backtrace: None,
            rule: None,
            evidence: Vec::new(),
            core: Vec::new(),
        }
    }

    /// What an oracle objects to.
    pub(crate) fn of_rule(objection: Objection, at: Duration) -> Failure {
        let Objection { rule, text, mut evidence } = objection;
        evidence.sort_unstable();
        evidence.dedup();
        Failure { rule: Some(rule), evidence, ..Failure::new(text, at) }
    }

    /// Takes in what was found wrong when the run was over.
    pub(crate) fn add(&mut self, finding: &Finding) {
        let Finding { text, rule, core, .. } = finding;
        if !self.message.is_empty() {
            self.message.push_str("\n\n");
        }
        self.message.push_str(text.trim_end());
        self.rule = self.rule.or(*rule);
        self.core.extend(core);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(rule) = self.rule {
            write!(f, "\n{rule}")?;
        }
        let Some(thread) = &self.thread else { return Ok(()) };
        f.write_str("\n  ")?;
        if let Some(location) = &self.location {
            write!(f, "at {location}, ")?;
        }
        write!(f, "thread `{thread}`")?;
        if let Some(server) = self.server {
            write!(f, " of server {server}")?;
        }
        Ok(())
    }
}

thread_local! {
    /// Whether this thread is inside [`panic_message`].
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// The message with which `f` panics; `None` if it does not. For testing that something panics: the panic is
/// not a failure of the run.
pub fn panic_message(f: impl FnOnce()) -> Option<String> {
    let before = EXPECTED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    EXPECTED.set(before);
    result.err().map(|payload| text_of(&*payload))
}

/// Lets panics of a run's threads fail the run. All others go on to the hook that was there before.
pub(crate) fn install_hook() {
    // Before the first run: the simulation's own hook, which lets it pass as an observer, comes around this one.
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let expected = EXPECTED.try_with(Cell::get).unwrap_or(false);
            if !expected && !caught(info) {
                previous(info);
            }
        }));
    });
}

/// Deals with a panic if the thread belongs to the active run.
fn caught(info: &PanicHookInfo<'_>) -> bool {
    let Some(run) = runner::active() else { return false };
    let Some(owner) = threads::owner_in(&run) else { return false };
    let backtrace = Backtrace::capture();
    let failure = Failure {
        location: info.location().map(ToString::to_string),
        thread: Some(threads::current_name()),
        server: owner.incarnation.as_ref().map(|incarnation| incarnation.server()),
        backtrace: (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace),
        ..Failure::new(text_of(info.payload()), run.elapsed())
    };
    if owner.incarnation.is_some_and(|incarnation| !incarnation.is_alive()) {
        labsim::eprint(&format!("a panic of a killed server, which is no failure: {failure}\n"));
    } else if let Some(later) = run.record(failure) {
        // A symptom, most likely: the report is about the cause.
        log::warn!("a panic after the failure: {later}");
    }
    true
}

/// A panic's message.
pub(crate) fn text_of(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_string()
    }
}
