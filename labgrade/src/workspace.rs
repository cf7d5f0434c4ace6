//! The tree in which a student works, and the tests of it that a command line asks for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::builder::{build_shown, cargo};
use crate::labs::{Lab, Package};
use crate::runner::Suite;

/// The labs' tree around the current directory.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    /// Those that have a page, by the page's name.
    rules: Vec<String>,
}

/// Tests, with the suites that they are in.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) suites: Vec<Suite>,
    /// In the order of labs, and of their files.
    pub(crate) tests: Vec<Test>,
}

/// A test of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    /// With its modules.
    pub(crate) name: String,
    pub(crate) lab: Lab,
    /// The place of its suite in the selection.
    pub(crate) suite: usize,
}

/// How alike a name must be to be what was meant.
const ALIKE: f64 = 0.8;

impl Workspace {
    pub(crate) fn find() -> io::Result<Workspace> {
        let asked = Command::new(cargo())
            .args(["locate-project", "--workspace", "--message-format=plain"])
            .output()
            .map_err(|error| io::Error::other(format!("cargo cannot be run: {error}")))?;
        let manifest = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
        let root = manifest.parent().unwrap_or(Path::new(".")).to_owned();
        if !asked.status.success() || !root.join("raft/tests/suite.rs").is_file() {
            return Err(io::Error::other(
                "this is not a tree of the labs: change into the directory that has `raft` and `Cargo.toml` in it",
            ));
        }
        let page = |name: String| Some(name.strip_suffix(".md")?.to_owned());
        let pages = root.join("docs/rules").read_dir().into_iter().flatten().flatten();
        let mut rules: Vec<_> =
            pages.filter_map(|entry| page(entry.file_name().to_string_lossy().into_owned())).collect();
        rules.sort();
        Ok(Workspace { root, rules })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn rules(&self) -> &[String] {
        &self.rules
    }

    /// Builds what is needed, and finds the tests that have one of `filters` in their names, as `cargo test` does; without any,
    /// all tests. Cargo shows what it does. The error says which filter matches nothing.
    pub(crate) fn select(&self, filters: &[String]) -> io::Result<Selection> {
        let mut selection = Selection { suites: Vec::new(), tests: Vec::new() };
        for package in self.packages(filters) {
            let matched = |filter: &String| selection.tests.iter().any(|test| test.name.contains(filter));
            if !filters.is_empty() && !selection.suites.is_empty() && filters.iter().all(matched) {
                break;
            }
            let binary = build_shown(&self.root, package).map_err(io::Error::other)?;
            let suite = Suite::open(binary, package, &self.root)?;
            let place = selection.suites.len();
            for lab in Lab::all() {
                let of_lab = suite.of(lab).into_iter();
                selection.tests.extend(of_lab.map(|name| Test { name: name.to_owned(), lab, suite: place }));
            }
            selection.suites.push(suite);
        }
        if let Some(filter) = filters.iter().find(|filter| !selection.has(filter)) {
            return Err(io::Error::other(no_such_test(filter, &selection.tests)));
        }
        selection
            .tests
            .retain(|test| filters.is_empty() || filters.iter().any(|filter| test.name.contains(filter)));
        Ok(selection)
    }

    /// Whose suites may hold what the filters ask for; the likelier first.
    fn packages(&self, filters: &[String]) -> Vec<Package> {
        let all = [Package::Raft, Package::KvRaft];
        let there = |package: &Package| self.root.join(package.name()).join("tests/suite.rs").is_file();
        // In lower case too: it will be told, but need not wait for another build before.
        let of_lab = |filter: &String| {
            Lab::all().find(|lab| filter.to_uppercase().ends_with(lab.name())).map(Lab::package)
        };
        let named: Option<Vec<Package>> = filters.iter().map(of_lab).collect();
        all.into_iter()
            .filter(there)
            .filter(|package| match &named {
                Some(named) if !named.is_empty() => named.contains(package),
                _ => true,
            })
            .collect()
    }
}

impl Selection {
    fn has(&self, filter: &str) -> bool {
        self.tests.iter().any(|test| test.name.contains(filter))
    }

    pub(crate) fn suite(&self, test: &Test) -> &Suite {
        &self.suites[test.suite]
    }

    /// The one test of this name, with or without its modules.
    pub(crate) fn one(&self, name: &str) -> io::Result<&Test> {
        let exact = |test: &&Test| test.name == name || test.short_name() == name;
        if let Some(test) = self.tests.iter().find(exact) {
            return Ok(test);
        }
        match &self.tests[..] {
            [test] => Ok(test),
            tests => {
                let names: Vec<_> = tests.iter().map(Test::short_name).collect();
                Err(io::Error::other(format!("{name:?} may be any of {}: say which", names.join(", "))))
            }
        }
    }
}

impl Test {
    pub(crate) fn short_name(&self) -> &str {
        self.name.rsplit("::").next().unwrap_or(&self.name)
    }
}

/// What to say of a filter that matches none of `tests`.
fn no_such_test(filter: &str, tests: &[Test]) -> String {
    let mut said = format!("no test has {filter:?} in its name");
    let upper = filter.to_uppercase();
    if upper != filter && tests.iter().any(|test| test.name.contains(&upper)) {
        return format!("{said}: lab names are upper case, {upper}");
    }
    let likeness = |test: &Test| strsim::jaro_winkler(filter, test.short_name());
    let nearest = tests.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    if let Some(test) = nearest.filter(|test| likeness(test) > ALIKE) {
        said += &format!("; did you mean {}?", test.short_name());
    } else {
        let labs: Vec<_> = Lab::all().map(Lab::name).collect();
        said += &format!(
            ". A filter is a lab ({}) or a part of a test's name, which the lab's guide in docs lists",
            labs.join(", ")
        );
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str) -> Test {
        Test { name: name.to_owned(), lab: Lab::of_test(name).unwrap(), suite: 0 }
    }

    fn tests() -> Vec<Test> {
        vec![test("lab_2b::basic_agree_2B"), test("lab_2b::agree_2B"), test("lab_2c::figure8_2C")]
    }

    #[test]
    fn a_filter_that_matches_nothing_gets_a_hint() {
        for (filter, hint) in [
            ("2b", "no test has \"2b\" in its name: lab names are upper case, 2B"),
            ("basic_agre_2B", "no test has \"basic_agre_2B\" in its name; did you mean basic_agree_2B?"),
            ("zzz", "A filter is a lab (2A, 2B, 2C, 2D, 3A, 3B) or a part of a test's name"),
        ] {
            let said = no_such_test(filter, &tests());
            assert!(said.contains(hint), "{said}");
        }
    }

    #[test]
    fn one_test_is_named_by_its_whole_name_or_by_a_part_that_no_other_has() {
        let one = |name: &str, tests: Vec<Test>| {
            Selection { suites: Vec::new(), tests }.one(name).map(|test| test.name.clone())
        };
        assert_eq!(one("agree_2B", tests()).unwrap(), "lab_2b::agree_2B");
        assert_eq!(one("lab_2b::agree_2B", tests()).unwrap(), "lab_2b::agree_2B");
        assert_eq!(one("figure8", tests()[2..].to_vec()).unwrap(), "lab_2c::figure8_2C");
        let error = one("agree", tests()[..2].to_vec()).unwrap_err().to_string();
        assert_eq!(error, "\"agree\" may be any of basic_agree_2B, agree_2B: say which");
    }

    #[test]
    fn only_suites_that_may_hold_a_test_are_built() {
        let place = tempfile::tempdir().unwrap();
        for package in ["raft", "kvraft"] {
            std::fs::create_dir_all(place.path().join(package).join("tests")).unwrap();
            std::fs::write(place.path().join(package).join("tests/suite.rs"), "").unwrap();
        }
        let workspace = Workspace { root: place.path().to_owned(), rules: Vec::new() };
        let packages = |filters: &[&str]| {
            workspace.packages(&filters.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(packages(&["2B", "figure8_2C"]), [Package::Raft]);
        assert_eq!(packages(&["3A"]), [Package::KvRaft]);
        assert_eq!(packages(&["2B", "3A"]), [Package::Raft, Package::KvRaft]);
        assert_eq!(packages(&["agree"]), [Package::Raft, Package::KvRaft]);
        assert_eq!(packages(&[]), [Package::Raft, Package::KvRaft]);
    }
}
