//! How log lines are laid out: on a terminal that is wide enough, each server has a column and a colour of its own.

use std::time::Duration;

use log::Level;

use crate::report::style::{PLAIN, Style, colour_of};
use crate::text::seconds;

/// Narrower columns are none.
const COLUMN_MIN: usize = 24;
/// What is said of the time takes so many columns.
const TIME: usize = 12;

/// A line to be shown.
pub(super) struct Live<'a> {
    /// `None` outside of a run.
    pub(super) at: Option<Duration>,
    pub(super) server: Option<usize>,
    /// The server's name, or the thread's.
    pub(super) who: &'a str,
    pub(super) level: Level,
    pub(super) target: &'a str,
    pub(super) text: &'a str,
}

impl Live<'_> {
    /// As it is printed, in a run with so many servers.
    pub(super) fn show(&self, style: Style, servers: usize) -> String {
        let Live { at, server, who, level, target, text } = self;
        let time = at.map_or_else(String::new, seconds);
        let column = style.width.map_or(0, |width| width.saturating_sub(TIME) / servers.max(1));
        let paint = |line: &str| match server {
            Some(server) if style.colour => format!("{}{line}{PLAIN}", colour_of(*server)),
            _ => line.to_string(),
        };
        match server {
            Some(server) if column >= COLUMN_MIN => {
                let topic = target.rsplit("::").next().unwrap_or(target);
                let alarm = if *level <= Level::Warn { format!("{level} ") } else { String::new() };
                let cell = Style { colour: false, width: Some(column - 1) }
                    .wrap(&format!("{server} {alarm}{topic}: {text}"), 2);
                let mut out = String::new();
                for (i, line) in cell.lines().enumerate() {
                    let time = if i == 0 { &*time } else { "" };
                    out += &format!("{time:>10}  {:1$}{2}\n", "", column * server, paint(line));
                }
                out
            }
            _ => format!("{}\n", paint(&format!("{time:>10} {level:5} {who:10} {target}: {text}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(server: Option<usize>) -> Live<'static> {
        let (level, target, text) = (Level::Warn, "raft::election", "votes for a server that has asked");
        Live { at: Some(Duration::from_millis(1500)), server, who: "server 1", level, target, text }
    }

    #[test]
    fn each_server_has_a_column_on_a_wide_screen() {
        let style = Style { colour: false, width: Some(90) };
        let line = "   1.500 s                            1 WARN election: votes\n";
        let more = "                                        for a server that has\n                                        asked\n";
        assert_eq!(live(Some(1)).show(style, 3), format!("{line}{more}"));
    }

    #[test]
    fn elsewhere_lines_are_as_they_come() {
        let plain = "   1.500 s WARN  server 1   raft::election: votes for a server that has asked";
        assert_eq!(live(Some(1)).show(Style::default(), 3), format!("{plain}\n"));
        assert_eq!(live(Some(1)).show(Style { colour: false, width: Some(60) }, 5), format!("{plain}\n"));
        assert_eq!(live(None).show(Style { colour: true, width: Some(200) }, 3), format!("{plain}\n"));
        let coloured = format!("\x1b[33m{plain}\x1b[0m\n");
        assert_eq!(live(Some(1)).show(Style { colour: true, width: None }, 3), coloured);
    }
}
