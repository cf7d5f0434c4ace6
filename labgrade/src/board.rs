//! What commands that try many runs show meanwhile: at a terminal a live line for each test that is being tried, and one
//! for the whole; elsewhere plain lines only, as things get done. All on standard error.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where nobody watches, a line about the whole comes so often.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// The display.
pub(crate) struct Board {
    /// `None` where nobody watches.
    live: Option<Live>,
    /// When the last plain line about the whole was printed.
    told: Instant,
}

struct Live {
    lines: MultiProgress,
    tests: BTreeMap<String, ProgressBar>,
    whole: ProgressBar,
}

impl Board {
    pub(crate) fn new() -> Board {
        let live = io::stderr().is_terminal().then(|| {
            let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let whole = lines.add(ProgressBar::new_spinner());
            whole.set_style(style("{spinner} {wide_msg}"));
            whole.enable_steady_tick(Duration::from_millis(120));
            Live { lines, tests: BTreeMap::new(), whole }
        });
        Board { live, told: Instant::now() }
    }

    /// Shows how a test is doing, beside others.
    pub(crate) fn doing(&mut self, test: &str, how: String) {
        let Some(live) = &mut self.live else { return };
        let bar = live.tests.entry(test.to_owned()).or_insert_with(|| {
            let bar = live.lines.insert_before(&live.whole, ProgressBar::new_spinner());
            bar.set_style(style("  {wide_msg}"));
            bar
        });
        bar.set_message(how);
    }

    /// Nothing goes on with a test for the time being.
    pub(crate) fn idle(&mut self, test: &str) {
        if let Some(bar) = self.live.as_mut().and_then(|live| live.tests.remove(test)) {
            bar.finish_and_clear();
        }
    }

    /// Shows how the whole is doing. Where nobody watches, every now and then.
    pub(crate) fn whole(&mut self, how: impl FnOnce() -> String) {
        match &self.live {
            Some(live) => live.whole.set_message(how()),
            None if self.told.elapsed() >= PLAIN_EVERY => {
                self.told = Instant::now();
                eprintln!("{}", how());
            }
            None => {}
        }
    }

    /// Prints a line that stays.
    pub(crate) fn print(&mut self, line: &str) {
        match &self.live {
            // It can only fail as printing does, and nobody is left to be told.
            Some(live) => drop(live.lines.println(line)),
            None => eprintln!("{line}"),
        }
        self.told = Instant::now();
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.tests.values().for_each(ProgressBar::finish_and_clear);
            live.whole.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
