//! [`Lines`]: the last log lines of a run, whether or not they are shown.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::events::Number;

/// How many lines are kept.
const KEPT_LINES: usize = 8_000;

/// Longer texts are cut: so many bytes, which bounds what formatting them costs too.
const TEXT_MAX: usize = 300;

/// The last log lines of a run.
#[derive(Default)]
pub(crate) struct Lines {
    pub(crate) kept: VecDeque<Line>,
    /// How many there were in all.
    pub(crate) made: u64,
}

/// One log line.
pub(crate) struct Line {
    /// The number of the event that came next.
    pub(crate) before: Number,
    pub(crate) at: Duration,
    pub(crate) server: Option<usize>,
    /// The server's name, or the thread's.
    pub(crate) who: String,
    pub(crate) level: log::Level,
    pub(crate) target: String,
    pub(crate) text: String,
}

impl Lines {
    /// The number of the event that came after the last line.
    pub(crate) fn last(&self) -> Number {
        self.kept.back().map_or(0, |line| line.before)
    }

    pub(crate) fn push(&mut self, line: Line) {
        self.made += 1;
        self.kept.push_back(line);
        if self.kept.len() > KEPT_LINES {
            self.kept.pop_front();
        }
    }
}

/// A text, cut when it is long. What is cut off is not even formatted.
pub(crate) fn cut(args: fmt::Arguments<'_>) -> String {
    struct Cut(String);
    impl fmt::Write for Cut {
        fn write_str(&mut self, more: &str) -> fmt::Result {
            let room = TEXT_MAX - self.0.len();
            if more.len() <= room {
                self.0.push_str(more);
                return Ok(());
            }
            let fits = (0..=room).rev().find(|&at| more.is_char_boundary(at)).unwrap_or(0);
            self.0.push_str(&more[..fits]);
            // No more is wanted.
            Err(fmt::Error)
        }
    }
    let mut text = Cut(String::new());
    if fmt::write(&mut text, args).is_err() {
        text.0.push_str("...");
    }
    text.0
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn long_texts_are_cut_and_the_rest_is_not_formatted() {
        struct Counted<'a>(&'a Cell<usize>);
        impl fmt::Display for Counted<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (0..1_000_000).try_for_each(|_| {
                    self.0.set(self.0.get() + 1);
                    f.write_str("äö")
                })
            }
        }
        let written = Cell::new(0);
        assert_eq!(cut(format_args!("{}", Counted(&written))), format!("{}...", "äö".repeat(TEXT_MAX / 4)));
        assert_eq!(written.get(), TEXT_MAX / 4 + 1);
        assert_eq!(cut(format_args!("as it is")), "as it is");
    }

    #[test]
    fn the_last_lines_are_kept() {
        let mut lines = Lines::default();
        for before in 0..KEPT_LINES as u64 + 3 {
            let (who, target, text) = Default::default();
            let level = log::Level::Info;
            lines.push(Line { before, at: Duration::ZERO, server: None, who, level, target, text });
        }
        assert_eq!((lines.kept.len(), lines.made), (KEPT_LINES, KEPT_LINES as u64 + 3));
        assert_eq!(lines.kept[0].before, 3);
    }
}
