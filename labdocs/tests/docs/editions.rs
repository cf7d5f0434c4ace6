//! The Chinese edition says what the English one says: page by page the same chapters, tables, commands, names,
//! links and numbers.

use std::path::PathBuf;

use labdocs::markdown::Page;
use labdocs::workspace::{files, root};

use crate::check;

/// Each page of the Chinese edition, with the one that it translates.
fn pairs() -> Vec<(Page, Page)> {
    let docs = root().join("docs");
    let chinese = files(&docs.join("zh"), "md").into_iter().filter(|path| !path.ends_with("SUMMARY.md"));
    let pair = |path: PathBuf| {
        let english = docs.join(path.strip_prefix(docs.join("zh")).unwrap());
        (Page::read(&english), Page::read(&path))
    };
    let mut pairs: Vec<(Page, Page)> = chinese.map(pair).collect();
    pairs.push((Page::read(&root().join("README.md")), Page::read(&root().join("README.zh-CN.md"))));
    pairs
}

/// Where the two differ in what a translation leaves as it is.
fn differences(english: &Page, chinese: &Page) -> Vec<String> {
    let levels = |page: &Page| page.headings().iter().map(|(level, _)| level.to_string()).collect::<Vec<_>>();
    let first_cells = |page: &Page| {
        page.rows()
            .into_iter()
            .map(|row| format!("{} cells: {}", row.len(), code(&row[0])))
            .collect::<Vec<_>>()
    };
    let spans = |page: &Page| {
        let mut spans = page.code_spans();
        spans.sort();
        spans
    };
    let links = |page: &Page| {
        // Where a page leads to, whatever its edition and its headings are called.
        let file = |link: String| {
            let file = link.split('#').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            file.replace(".zh-CN", "")
        };
        let mut links: Vec<String> = page.links().into_iter().map(file).collect();
        links.sort();
        links
    };
    // Small ones may be words in one language and digits in the other.
    let numbers = |page: &Page| {
        let mut numbers: Vec<String> = page.numbers().into_iter().filter(|it| it.len() > 1).collect();
        numbers.sort();
        numbers.dedup();
        numbers
    };
    let mut found = Vec::new();
    let name = chinese.path.strip_prefix(root()).unwrap_or(&chinese.path).display().to_string();
    for (what, one, other) in [
        ("headings", levels(english), levels(chinese)),
        ("rows of tables", first_cells(english), first_cells(chinese)),
        ("code blocks", english.code_lines(), chinese.code_lines()),
        ("words between backticks", spans(english), spans(chinese)),
        ("links", links(english), links(chinese)),
        ("numbers", numbers(english), numbers(chinese)),
    ] {
        if one != other {
            let missing: Vec<_> = one.iter().filter(|it| !other.contains(it)).collect();
            let strange: Vec<_> = other.iter().filter(|it| !one.contains(it)).collect();
            found.push(format!(
                "{name}: {} {what}, not {}; missing: {missing:?}; only there: {strange:?}",
                other.len(),
                one.len()
            ));
        }
    }
    found
}

/// What stands between backticks, or all of it if it is plain ASCII.
fn code(cell: &str) -> String {
    let spans: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    if spans.is_empty() && cell.len() <= 2 { cell.to_string() } else { spans.join(" ") }
}

#[test]
fn both_editions_have_the_same_chapters_names_commands_and_numbers() {
    let pairs = pairs();
    assert!(pairs.len() > 40, "only {} pages have two editions", pairs.len());
    check(pairs.iter().flat_map(|(english, chinese)| differences(english, chinese)).collect());
}

/// Every page that students have: what the book of the English edition lists.
#[test]
fn each_page_for_students_has_a_chinese_edition() {
    let listed = Page::read(&root().join("docs/SUMMARY.md")).links();
    assert!(listed.len() > 40, "only {} pages were read", listed.len());
    let missing = listed.iter().filter(|page| !root().join("docs/zh").join(page).exists());
    check(missing.map(|page| format!("docs/zh/{page} is missing")).collect());
}

#[test]
fn a_chapter_a_command_a_row_a_name_or_a_number_that_is_missing_is_noticed() {
    let path = root().join("page.md");
    let page = |text: &str| Page::parse(&path, text);
    let english =
        page("# A\n\n## B `x`\n\n    cargo test 2A\n\n| h |\n|---|\n| `r` |\n\n[l](../c.md#d)\n\nin 33 ms\n");
    let chinese = page(
        "# 甲\n\n## 乙 `x`\n\n    cargo test 2A\n\n| 头 |\n|---|\n| `r` |\n\n[链](../../c.md#丁)\n\n33 毫秒内\n",
    );
    assert_eq!(differences(&english, &chinese), [""; 0]);
    for wrong in [
        "# 甲\n\n    cargo test 2A\n\n| 头 |\n|---|\n| `r` |\n\n`x` [链](../c.md)\n",
        "# 甲\n\n## 乙\n\n    cargo test 2B\n",
        "# 甲\n\n## 乙 `x`\n\n    cargo test 2A\n\n| 头 |\n|---|\n| `r` |\n\n[链](../../c.md#丁)\n\n34 毫秒内\n",
    ] {
        assert!(!differences(&english, &page(wrong)).is_empty());
    }
}
