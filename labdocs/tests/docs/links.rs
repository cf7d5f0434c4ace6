//! Links within the documentation lead somewhere.

use std::path::Path;

use labdocs::markdown::Page;
use labdocs::workspace::{files, root};

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
    // The starter's own is one of another tree.
    let here = |page: &&Page| !page.path.starts_with(root().join("handout"));
    check(pages().iter().filter(here).flat_map(broken).collect());
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

/// Each book's list of pages has each page of its guides once, and the staff's list each of theirs.
#[test]
fn the_lists_of_pages_have_each_page() {
    let mut objections = Vec::new();
    for (list, left_out) in [
        ("docs/SUMMARY.md", &["SUMMARY.md", "kill-matrix.md", "zh/", "staff/"][..]),
        ("docs/zh/SUMMARY.md", &["SUMMARY.md"]),
        ("docs/staff/README.md", &["README.md"]),
    ] {
        let list_path = root().join(list);
        let dir = list_path.parent().unwrap();
        let listed = Page::read(&list_path).links();
        for path in files(dir, "md") {
            let page = path.strip_prefix(dir).unwrap().display().to_string();
            let times = listed.iter().filter(|link| **link == page).count();
            if times != 1 && !left_out.iter().any(|it| page.starts_with(it)) {
                objections.push(format!("{list} lists {page} {times} times"));
            }
        }
    }
    check(objections);
}

/// What students receive: their pages lead nowhere else, and what is the staff's is not there.
#[test]
fn the_starter_has_its_pages_and_none_of_the_staffs() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("my-raft");
    let made = std::process::Command::new("make")
        .arg("starter")
        .arg(format!("DIR={}", tree.display()))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let pages: Vec<Page> = files(&tree, "md").iter().map(|path| Page::read(path)).collect();
    for page in ["README.md", "docs/lab-2a.md", "docs/rules/one-vote-per-term.md"] {
        assert!(pages.iter().any(|it| it.path == tree.join(page)), "{page} is missing");
    }
    for secret in ["docs/staff", "docs/kill-matrix.md", "mutants", "handout", "raft/src/election.rs"] {
        assert!(!tree.join(secret).exists(), "{secret} is in the starter");
    }
    check(pages.iter().flat_map(broken).collect());
}
