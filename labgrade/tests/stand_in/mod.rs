//! What the small workspaces are made of that these tests run and grade.

use std::fs;
use std::path::Path;

const SUITE: &str = include_str!("suite.rs");

/// Passes every seed of every test.
pub(crate) const GOOD: &str = "pub fn behave(_test: &str, _seed: u64) -> (u64, &'static str) { (0, \"\") }\n";

/// The suite of a package, with these tests.
pub(crate) fn suite(package: &str, tests: &[&str]) -> String {
    SUITE.replace("TESTS", &format!("{tests:?}")).replace("PACKAGE", package)
}

/// Writes a file under `root`.
pub(crate) fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
