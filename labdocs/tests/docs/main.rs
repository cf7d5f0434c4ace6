//! Checks of the documentation. Each says what is wrong and where.
#![forbid(unsafe_code)]

mod commands;
mod conformance;
mod editions;
mod guides;
mod links;
mod names;
mod quoted;
mod replication;

use labdocs::markdown::Page;
use labdocs::workspace::{files, root};

/// All pages: the documentation's, and those at the top of the repository and of the starter.
fn pages() -> Vec<Page> {
    let mut paths = files(&root().join("docs"), "md");
    for path in ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "handout/README.md", "mutants/README.md"]
    {
        paths.push(root().join(path));
    }
    paths.iter().map(|path| Page::read(path)).collect()
}

/// Fails with all objections, one a line.
#[track_caller]
fn check(objections: Vec<String>) {
    assert!(objections.is_empty(), "{} objections:\n{}\n", objections.len(), objections.join("\n"));
}

/// How a page is named in an objection.
fn name(page: &Page) -> String {
    page.path.strip_prefix(root()).unwrap_or(&page.path).display().to_string()
}
