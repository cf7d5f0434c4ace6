//! [`Style`]: how a report is laid out and coloured, for whom it is shown to.

use std::env;
use std::io::IsTerminal;

/// How text is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) colour: bool,
    /// Columns; `None` if lines are not to be broken.
    pub(crate) width: Option<usize>,
}

/// By which the process that knows what the output goes to tells the one that runs the test.
pub(crate) const VARIABLE: &str = "LABTEST_STYLE";

/// Narrower terminals are taken to be this wide.
const WIDTH_MIN: usize = 40;

/// Ends all that follow.
pub(crate) const PLAIN: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const ALARM: &str = "\x1b[1;31m";

impl Style {
    /// For standard output, as `NO_COLOR`, `CLICOLOR_FORCE` and `COLUMNS` have it.
    pub(crate) fn of_output() -> Style {
        if let Ok(told) = env::var(VARIABLE) {
            return Style::decode(&told);
        }
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let is_terminal = std::io::stdout().is_terminal();
        let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = columns.or_else(|| labsim::terminal_width().filter(|_| is_terminal));
        Style {
            colour: !is_set("NO_COLOR") && (is_terminal || is_set("CLICOLOR_FORCE")),
            width: width.map(|width: usize| width.max(WIDTH_MIN)),
        }
    }

    /// For [`VARIABLE`].
    pub(crate) fn encode(self) -> String {
        format!("{} {}", u8::from(self.colour), self.width.unwrap_or(0))
    }

    fn decode(text: &str) -> Style {
        let (colour, width) = text.split_once(' ').unwrap_or_default();
        let width = width.parse().unwrap_or(0);
        Style { colour: colour == "1", width: (width > 0).then_some(width) }
    }

    /// Colours a report that is whole: its headings, its first paragraph, times, and the servers' names.
    pub(crate) fn paint(self, report: &str) -> String {
        if !self.colour {
            return report.to_string();
        }
        let mut out = String::new();
        let mut paragraph = 0;
        for line in report.lines() {
            if line.is_empty() {
                paragraph += 1;
            }
            let is_heading = !line.starts_with(' ') && line.ends_with(':');
            if paragraph == 1 && !line.starts_with(' ') && !line.starts_with("rule ") {
                out += &format!("{ALARM}{line}{PLAIN}");
            } else if is_heading || line.starts_with("server  ") {
                out += &format!("{BOLD}{line}{PLAIN}");
            } else {
                out += &paint_line(line);
            }
            out.push('\n');
        }
        out
    }

    /// Breaks a text into lines, all but the first of each of its own lines indented by `indent`.
    pub(crate) fn wrap(self, text: &str, indent: usize) -> String {
        let Some(width) = self.width else { return text.to_string() };
        let wrapped: Vec<String> = text.lines().map(|line| wrap_line(line, width, indent)).collect();
        wrapped.join("\n")
    }

    /// The same of prose with tables and pictures in it, which are indented: what does not fit there goes on below its
    /// column, so that none of the others is broken.
    pub(crate) fn wrap_prose(self, text: &str) -> String {
        let line = |line: &str| match self.width {
            Some(width) if line.starts_with(' ') => wrap_row(line, width),
            _ => self.wrap(line, 2),
        };
        text.lines().map(|it| line(it) + "\n").collect()
    }
}

/// A server's own colour: it is the same in all reports and live lines. Told apart by colour-blind eyes too, since each line
/// names the server.
pub(crate) fn colour_of(server: usize) -> &'static str {
    const COLOURS: [&str; 6] = ["\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[31m"];
    COLOURS[server % COLOURS.len()]
}

fn paint_line(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    // A time at the beginning.
    let indent = line.len() - line.trim_start().len();
    if let Some(end) = line.find(" s  ").filter(|&end| is_time(&line[indent..end])) {
        let (time, after) = line.split_at(end + " s".len());
        out += &format!("{DIM}{time}{PLAIN}");
        rest = after;
    }
    // A row of the table of servers.
    if let Some((number, after)) = rest.split_once("  ") {
        if let Ok(server) = number.parse::<usize>() {
            return format!("{}{number}{PLAIN}  {after}", colour_of(server));
        }
    }
    while let Some(at) = rest.find("server ") {
        let number: String = rest[at + "server ".len()..].chars().take_while(char::is_ascii_digit).collect();
        let end = at + "server ".len() + number.len();
        match number.parse() {
            Ok(server) => {
                out += &format!("{}{}{}{PLAIN}", &rest[..at], colour_of(server), &rest[at..end]);
            }
            Err(_) => out += &rest[..end],
        }
        rest = &rest[end..];
    }
    out + rest
}

fn is_time(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// Breaks a row of a table, whose columns have two spaces or more between them. A last column that does not fit, such as a
/// remark in brackets, goes below the one before.
fn wrap_row(row: &str, width: usize) -> String {
    if row.chars().count() <= width {
        return row.to_string();
    }
    let indent = last_column(row, width * 2 / 3);
    match row.rsplit_once("  ").map(|(before, last)| (before.trim_end(), last)) {
        Some((before, last)) if before.chars().count() > indent => {
            let last = format!("{:indent$}{last}", "");
            format!("{}\n{}", wrap_line(before, width, indent), wrap_line(&last, width, indent))
        }
        _ => wrap_line(row, width, indent),
    }
}

/// Where the last column begins, of those that begin at `most` or before.
fn last_column(line: &str, most: usize) -> usize {
    let mut begin = 0;
    let mut spaces = 2;
    for (at, c) in line.chars().enumerate().take_while(|(at, _)| *at <= most) {
        if c != ' ' && spaces >= 2 {
            begin = at;
        }
        spaces = if c == ' ' { spaces + 1 } else { 0 };
    }
    begin
}

fn wrap_line(line: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    let mut rest = line;
    while !rest.is_empty() {
        // A word with the space before it.
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        let end = rest[spaces..].find(' ').map_or(rest.len(), |end| spaces + end);
        let (word, after) = rest.split_at(end);
        let length = word.chars().count();
        if column + length > width && column > indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            out += word.trim_start_matches(' ');
            column = indent + length - spaces;
        } else {
            out += word;
            column += length;
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_survives_encoding() {
        for style in [Style::default(), Style { colour: true, width: Some(80) }] {
            assert_eq!(Style::decode(&style.encode()), style);
        }
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        let wrap = |text, width| Style { colour: false, width }.wrap(text, 4);
        assert_eq!(wrap("one two three\nfour", Some(8)), "one two\n    three\nfour");
        assert_eq!(wrap("  0.1 s  a b c", Some(12)), "  0.1 s  a b\n    c");
        assert_eq!(wrap("unbreakable", Some(4)), "unbreakable");
        assert_eq!(wrap("one two three", None), "one two three");
    }

    #[test]
    fn pictures_are_not_broken() {
        let wrap = |text, width| Style { colour: false, width }.wrap_prose(text);
        assert_eq!(
            wrap("one two three\n  |---|  |---|\n\nx", Some(8)),
            "one two\n  three\n  |---|\n  |---|\n\nx\n"
        );
        // What clerks were told was wider than the screen.
        let picture = "  #2 clerk 1  |---|         get \"k\" -> \"a\"  (from 0.076 s)\n\
                       \x20                           than #1: another value\n";
        let narrow = "  #2 clerk 1  |---|         get \"k\" -> \"a\"\n                            (from 0.076 s)\n\
                      \x20                           than #1:\n                            another value\n";
        assert_eq!(wrap(picture, Some(42)), narrow);
        assert_eq!(wrap(picture, Some(80)), picture);
        assert_eq!(wrap(picture, None), picture);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let report = "x failed after 1 s:\n\nserver 2 did wrong\nrule a: server\n\nwhat led there:\n  0.1 s  server 1 -> \
                      server 12  vote\nserver  state\n0       leader\n";
        let style = Style { colour: true, width: None };
        let painted = style.paint(report);
        let mut plain = String::new();
        for (i, part) in painted.split('\x1b').enumerate() {
            plain += if i == 0 { part } else { part.split_once('m').unwrap().1 };
        }
        assert_eq!(plain, report);
        for part in [
            "\x1b[1;31mserver 2 did wrong\x1b[0m\n",
            "\nrule a: server\n",
            "\x1b[1mwhat led there:\x1b[0m",
            "\x1b[2m  0.1 s\x1b[0m  \x1b[33mserver 1\x1b[0m -> \x1b[36mserver 12\x1b[0m",
            "\x1b[36m0\x1b[0m",
        ] {
            assert!(painted.contains(part), "{part:?} is missing in: {painted:?}");
        }
        assert_eq!(Style::default().paint(report), report);
    }
}
