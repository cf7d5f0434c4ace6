//! A summary in Markdown, for a comment or a job's summary page.

use super::super::results::{Results, Status, number};

pub(super) fn render(results: &Results) -> String {
    let mut text = format!("# {}\n\n{}\n", plain(&results.assignment), quoted(&results.summary()));
    if !results.tests.is_empty() {
        text += "\n| lab | test | points | |\n|---|---|---|---|\n";
    }
    for test in &results.tests {
        let points = format!("{} of {}", number(test.points), number(test.points_max));
        let mark = match test.status {
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::NotJudged => "not judged",
            Status::NotRun => "not run",
        };
        let line = plain(&test.line());
        text += &format!("| {} | {} | {points} | {mark}: {line} |\n", test.lab, plain(test.short_name()));
    }
    for test in results.tests.iter().filter(|test| !test.report.is_empty()) {
        text += &format!("\n## {}\n\n{}\n", plain(test.short_name()), quoted(&test.report));
    }
    text
}

/// On one line, with everything escaped that Markdown or HTML might understand.
pub(in super::super) fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '\\' | '`' | '*' | '[' | ']' | '|' | '#' | '!' | '~' | '$' | '@' => {
                escaped.push('\\');
                escaped.push(c);
            }
            // Names have them in their midst, where they mean nothing.
            _ => escaped.push(c),
        }
    }
    escaped
}

/// A block that is shown as it is, fenced by more backticks than are in it.
fn quoted(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::example;
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let text = render(&example().for_students());
        assert!(text.starts_with("# lab &lt;2B>\n"), "{text}");
        let row = text.lines().find(|line| line.contains("backup_2B")).unwrap();
        assert!(
            row.starts_with("| 2B | backup_2B | 0 of 2 | failed: 29 of 30 runs passed; seed 17:"),
            "{row}"
        );
        assert!(row.contains("\\`&lt;b>&amp;") && row.matches(" | ").count() == 3, "{row}");
        assert_eq!(quoted("a ``` b"), "````text\na ``` b\n````");
        assert_eq!(quoted("a"), "```text\na\n```");
        assert_eq!(plain("a|b\n# c"), "a\\|b \\# c");
    }
}
