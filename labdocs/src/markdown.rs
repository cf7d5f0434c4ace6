//! [`Page`]: a page of Markdown as its checks see it. Not a full parser: it knows the Markdown that these pages use.

use std::fs;
use std::path::{Path, PathBuf};

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Where it is.
    pub path: PathBuf,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    text: String,
    code: bool,
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(path: &Path) -> Page {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Page::parse(path, &text)
    }

    /// The page that `text` is.
    pub fn parse(path: &Path, text: &str) -> Page {
        let (mut fenced, mut indented, mut after_blank) = (false, false, true);
        let mut lines = Vec::new();
        for text in text.lines() {
            if text.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            let deep = text.starts_with("    ");
            // A list's text is indented too, but not after an empty line.
            indented = !fenced && deep && (indented || after_blank);
            after_blank = text.trim().is_empty() || text.starts_with('#');
            lines.push(Line { text: text.to_string(), code: fenced || indented });
        }
        Page { path: path.to_path_buf(), lines }
    }

    fn prose(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| !line.code).map(|line| line.text.as_str())
    }

    /// The headings: level and text.
    pub fn headings(&self) -> Vec<(usize, String)> {
        let heading = |line: &str| {
            let level = line.chars().take_while(|&c| c == '#').count();
            let text = line[level..].strip_prefix(' ')?;
            (level > 0).then(|| (level, text.trim().to_string()))
        };
        self.prose().filter_map(heading).collect()
    }

    /// The names that links may give after a `#`, made of the headings as GitHub and mdBook make them.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for (_, heading) in self.headings() {
            let kept = heading.chars().filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String =
                kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect();
            let before = anchors.iter().filter(|&it| *it == anchor).count();
            anchors.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
        }
        anchors
    }

    /// The targets of links and pictures.
    pub fn links(&self) -> Vec<String> {
        let text: Vec<String> = self.prose().map(without_code).collect();
        let text = text.join("\n");
        let starts = text.match_indices("](").map(|(at, _)| at + 2);
        starts.filter_map(|start| Some(text[start..].split_once(')')?.0.to_string())).collect()
    }

    /// What stands between backticks in the text.
    pub fn code_spans(&self) -> Vec<String> {
        let spans = |line: &str| line.split('`').skip(1).step_by(2).map(String::from).collect::<Vec<_>>();
        self.prose().flat_map(spans).collect()
    }

    /// The numbers in the text, as they are written there: `1,339,000`, `0.5`; not those in code or in targets of links.
    pub fn numbers(&self) -> Vec<String> {
        let numbers = |text: String| {
            let words = text.split(|c: char| !c.is_ascii_digit() && c != ',' && c != '.');
            let words = words.map(|word| word.trim_matches([',', '.']));
            words.filter(|word| !word.is_empty()).map(String::from).collect::<Vec<_>>()
        };
        self.prose().map(without_code).map(|line| without_targets(&line)).flat_map(numbers).collect()
    }

    /// The lines of code blocks, without comments and empty ones.
    pub fn code_lines(&self) -> Vec<String> {
        let code = self.lines.iter().filter(|line| line.code);
        let bare = code.map(|line| line.text.split(" #").next().unwrap_or_default().trim().to_string());
        bare.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    /// The cells of all tables' rows, without heads and rulers.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let lines: Vec<&str> = self.prose().collect();
        let is_ruler = |line: &str| line.starts_with("|-");
        let mut rows = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let is_head = lines.get(number + 1).is_some_and(|next| is_ruler(next));
            if line.starts_with('|') && !is_head && !is_ruler(line) {
                let cells = line.trim().trim_matches('|').split(" | ");
                rows.push(cells.map(|cell| cell.trim().to_string()).collect());
            }
        }
        rows
    }

    /// The commands for `cargo` and `make`, in code blocks and between backticks.
    pub fn commands(&self) -> Vec<String> {
        let is_command = |code: &String| {
            let words = code.split_whitespace().skip_while(|word| is_assignment(word));
            matches!(words.take(2).collect::<Vec<_>>()[..], ["cargo" | "make", _])
        };
        self.code_lines().into_iter().chain(self.code_spans()).filter(is_command).collect()
    }
}

/// Whether a word of a command sets a variable for it: `LAB_RUNS=500`.
pub fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, part| text + part.split_once(')').map_or("", |(_, rest)| rest))
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page::parse(Path::new("page.md"), text)
    }

    #[test]
    fn headings_become_anchors() {
        let page =
            page("# One, `two`!\n\n## Or not\n\n```text\n# no heading\n```\n\n## Or not\n## 领导者 选举\n");
        assert_eq!(page.anchors(), ["one-two", "or-not", "or-not-1", "领导者-选举"]);
        assert_eq!(page.headings()[1], (2, "Or not".to_string()));
    }

    #[test]
    fn links_are_found_in_prose_only() {
        let page = page("See [a](a.md#b), ![p](p.png) and `[c](c.md)`.\n\n    [d](d.md)\n");
        assert_eq!(page.links(), ["a.md#b", "p.png"]);
    }

    #[test]
    fn commands_are_found_in_blocks_and_between_backticks() {
        let page = page(
            "Run `make test` or `LAB_RUNS=5 cargo test 2B`, not `cargo`.\n\n    cargo test 2A   # a lab\n\n- a\n    cargo no\n",
        );
        assert_eq!(page.commands(), ["cargo test 2A", "make test", "LAB_RUNS=5 cargo test 2B"]);
    }

    #[test]
    fn numbers_are_found_in_prose_only() {
        let page = page("It takes 1,339 or 0.5, at most 33.\n\n    17\n\n`12` [lab 2](a-14.md) 15\n");
        assert_eq!(page.numbers(), ["1,339", "0.5", "33", "2", "15"]);
    }

    #[test]
    fn rows_are_those_below_the_head() {
        let page = page("| a | b |\n|---|---|\n| `x` | y |\n\ntext | text\n");
        assert_eq!(page.rows(), [["`x`", "y"]]);
    }
}
