//! Links within the documentation lead somewhere.

use std::path::Path;

use labdocs::markdown::Page;

use crate::{check, name, pages};

/// The objections to a page's links. What leads out of the repository is not looked at.
fn broken(page: &Page) -> Vec<String> {
    let dir = page.path.parent().unwrap_or(Path::new("."));
    let inner = page.links().into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
    let mut objections = Vec::new();
    for link in inner {
        let (file, anchor) =
            link.split_once('#').map_or((link.as_str(), None), |(file, anchor)| (file, Some(anchor)));
        let target = dir.join(file);
        let anchors = || if file.is_empty() { page.anchors() } else { Page::read(&target).anchors() };
        if !file.is_empty() && !target.exists() {
            objections.push(format!("{}: there is no {file}", name(page)));
        } else if anchor.is_some_and(|anchor| !anchors().iter().any(|it| it == anchor)) {
            objections.push(format!("{}: {link} leads to no heading", name(page)));
        }
    }
    objections
}

#[test]
fn links_and_anchors_resolve() {
    check(pages().iter().flat_map(broken).collect());
}

#[test]
fn a_broken_link_or_anchor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("b.md"), "# There\n").unwrap();
    let text = "[a](b.md) [b](b.md#there) [c](b.md#not-there) [d](c.md) [e](#here) [f](https://example.org/x)\n# Here\n";
    let objections = broken(&Page::parse(&dir.path().join("a.md"), text));
    assert_eq!(objections.len(), 2, "{objections:?}");
    assert!(objections[0].contains("#not-there") && objections[1].contains("c.md"), "{objections:?}");
}

/// The book's list of pages has each page of the guides once.
#[test]
fn the_summary_has_each_page() {
    let summary = Page::read(&labdocs::workspace::root().join("docs/SUMMARY.md"));
    let listed = summary.links();
    let docs = labdocs::workspace::root().join("docs");
    let mut missing = Vec::new();
    for guide in crate::guides() {
        let path = guide.path.strip_prefix(&docs).unwrap().display().to_string();
        if path != "SUMMARY.md" && path != "kill-matrix.md" && !path.starts_with("zh/") {
            let times = listed.iter().filter(|link| **link == path).count();
            if times != 1 {
                missing.push(format!("docs/SUMMARY.md lists {path} {times} times"));
            }
        }
    }
    check(missing);
}
