//! A page in HTML that needs nothing else, and does nothing.

use std::fmt::Write as _;

use super::super::results::{Results, Status, number};

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8886; vertical-align: top }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8882; padding: .8rem }
.passed::before { content: "\2713  passed" } .failed::before { content: "\2717  failed" }
.unknown::before { content: "?  not judged" } .waiting::before { content: "\2026  not run" }
</style>
"#;

pub(super) fn render(results: &Results) -> String {
    let mut page = HEAD.to_owned();
    let title = escaped(&results.assignment);
    let summary = escaped(&results.summary());
    // Writing to a string does not fail.
    let _ = write!(page, "<title>{title}</title>\n<h1>{title}</h1>\n<pre>{summary}</pre>\n");
    if !results.tests.is_empty() {
        page += "<table>\n<tr><th>lab<th>test<th>points<th>result<th>\n";
        for test in &results.tests {
            let class = match test.status {
                Status::Passed => "passed",
                Status::Failed => "failed",
                Status::NotJudged => "unknown",
                Status::NotRun => "waiting",
            };
            let _ = writeln!(
                page,
                "<tr><td>{}<td>{}<td>{} of {}<td class={class}><td>{}",
                test.lab,
                escaped(test.short_name()),
                number(test.points),
                number(test.points_max),
                escaped(&test.line())
            );
        }
        page += "</table>\n";
    }
    for test in results.tests.iter().filter(|test| !test.report.is_empty()) {
        let (name, report) = (escaped(test.short_name()), escaped(&test.report));
        let _ = writeln!(page, "<h2>{name}</h2>\n<pre>{report}</pre>");
    }
    page
}

/// As text, or as the value of a quoted attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::example;
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let page = render(&example().for_students());
        assert!(
            page.contains("<td>2B<td>backup_2B<td>0 of 2<td class=failed><td>29 of 30 runs passed; seed 17")
        );
        assert!(page.contains("&lt;/script&gt;]]&gt;&lt;b&gt;hostile"), "{page}");
        assert!(!page.contains("<b>") && !page.contains("<script"), "{page}");
        assert!(page.contains("default-src 'none'"));
    }
}
