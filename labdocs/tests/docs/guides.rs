//! The lab guides tell of each test of their lab.

use labdocs::markdown::Page;
use labdocs::workspace::{lab_of, lab_tests, root};

use crate::check;

fn guide_of(lab: &str) -> Page {
    Page::read(&root().join(format!("docs/lab-{}.md", lab.to_lowercase())))
}

/// The tests that a guide's tables begin a row with.
fn told(guide: &Page) -> Vec<String> {
    let first = |row: Vec<String>| row[0].trim_matches('`').to_string();
    guide.rows().into_iter().map(first).filter(|test| lab_of(test).is_some()).collect()
}

#[test]
fn each_test_has_a_row_in_its_guide_and_each_row_a_test() {
    let tests: Vec<String> = lab_tests().into_iter().map(|(_, test)| test).collect();
    let mut objections = Vec::new();
    for lab in ["2A", "2B", "2C", "2D", "3A", "3B"] {
        let told = told(&guide_of(lab));
        for test in tests.iter().filter(|test| lab_of(test) == Some(lab)) {
            if !told.contains(test) {
                objections
                    .push(format!("docs/lab-{}.md does not tell of {test}: add a row", lab.to_lowercase()));
            }
        }
        let strange = told.iter().filter(|test| !tests.contains(test) || lab_of(test) != Some(lab));
        objections.extend(
            strange.map(|test| format!("the guide of {lab} tells of {test}, which is no test of it")),
        );
    }
    check(objections);
}

/// All guides are built alike.
#[test]
fn each_guide_has_all_parts() {
    let mut objections = Vec::new();
    for lab in ["2A", "2B", "2C", "2D", "3A", "3B"] {
        let headings: Vec<String> = guide_of(lab).headings().into_iter().map(|(_, text)| text).collect();
        for part in [
            "What you build",
            "Read first",
            "The rules, in the order to write them",
            "Hints",
            "What the tests do",
            "Time",
        ] {
            if !headings.iter().any(|heading| heading == part) {
                objections.push(format!("the guide of {lab} has no part {part:?}"));
            }
        }
    }
    check(objections);
}

/// A page that lists mistakes says of each what finds it: a test, or a rule.
#[test]
fn each_common_mistake_is_found_by_something() {
    let page = Page::read(&root().join("docs/common-mistakes.md"));
    let rows = page.rows();
    assert!(rows.len() > 40, "only {} mistakes were read", rows.len());
    let idle =
        rows.iter().filter(|row| row.len() != 3 || !(row[2].contains("](rules/") || row[2].contains('`')));
    check(idle.map(|row| format!("docs/common-mistakes.md: nothing finds {row:?}")).collect());
}

/// The README's table says how many tests each lab has.
#[test]
fn the_readme_counts_the_tests() {
    let tests: Vec<String> = lab_tests().into_iter().map(|(_, test)| test).collect();
    let rows = Page::read(&root().join("README.md")).rows();
    let mut objections = Vec::new();
    for lab in ["2A", "2B", "2C", "2D", "3A", "3B"] {
        let row =
            rows.iter().find(|row| row[0] == lab).unwrap_or_else(|| panic!("README.md: no row of {lab}"));
        let told = row[2].split(' ').next().unwrap_or_default();
        let count = tests.iter().filter(|test| lab_of(test) == Some(lab)).count();
        if told != count.to_string() {
            objections.push(format!("README.md says that {lab} has {told} tests, it has {count}"));
        }
    }
    check(objections);
}

/// The objections to rows of a guide that say how many tests there are beside MIT's.
fn miscounted(guide: &Page, others: usize) -> Vec<String> {
    const WORDS: [&str; 13] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    let told = |row: Vec<String>| Some(row[0].strip_prefix("the ")?.strip_suffix(" others")?.to_string());
    let wrong = |word: &String| WORDS.contains(&&**word) && WORDS.get(others) != Some(&&**word);
    let words = guide.rows().into_iter().filter_map(told).filter(wrong);
    words.map(|word| format!("{}: there are {others} others, not {word}", guide.path.display())).collect()
}

#[test]
fn the_guides_count_the_tests_beside_mits() {
    let readme = Page::read(&root().join("README.md")).rows();
    let mut objections = Vec::new();
    for lab in ["2A", "2B", "2C", "2D", "3A", "3B"] {
        let row = readme.iter().find(|row| row[0] == lab).unwrap();
        let counts: Vec<usize> =
            row[2].split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
        objections.extend(miscounted(&guide_of(lab), counts[0] - counts[1]));
    }
    check(objections);
}

#[test]
fn a_wrong_count_is_noticed() {
    let page = Page::parse(&root().join("page.md"), "| h |\n|---|\n| the two others | 20 ms |\n");
    assert!(miscounted(&page, 2).is_empty());
    assert_eq!(miscounted(&page, 3).len(), 1);
}
