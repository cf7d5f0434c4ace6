//! The policy of a course: what is graded, with which seeds, for how many points, within which limits.
//!
//! A TOML file that the staff keeps. All of it has defaults:
//!
//! ```toml
//! assignment = "labs 2A and 2B"        # part of what derived seeds follow from
//! labs = ["2A", "2B"]                  # all, if not given
//! only = ["count_2B", "rejoin_2B"]     # of these labs' tests; all, if not given
//! secret = "at least sixteen bytes"    # or: secret_file = "secret", beside this file
//! hidden = "hidden"                    # a directory beside this file, laid over the course's tests; see below
//! visibility = "visible"               # of tests: visible, after_due_date, after_published, hidden
//! points = 1.0                         # for each test
//!
//! [seeds]
//! published = { first = 1, count = 10 }   # students may try them
//! derived = 20                            # from the secret: the same for all, and unknown before
//!
//! [limits]
//! run_s = 60            # CPU time for one run of a test
//! test_s = 600          # CPU time for all runs of a test together
//! build_s = 300         # CPU time of the compiler for one crate
//! memory_mib = 2048     # for one run
//! processes = 2048      # and threads, of all runs of a test together
//!
//! [test.count_2B]       # any test, by the last part of its name
//! points = 2.0
//! visibility = "hidden"
//! ```
//!
//! Limits are of CPU time, since real time depends on the machine and what else it does. Real time is limited too, by
//! [`SLOWEST`] times as much; whatever takes longer tells of the machine, is tried again, and never a student's zero.
//!
//! *Hidden tests* are files under `hidden/raft/tests` and `hidden/kvraft/tests`, most often a `suite.rs` with one
//! more `mod`. They are built apart, and of what is built so only those tests are run that the course's own suite has not. They are `hidden`
//! unless the policy says otherwise of one of them by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::labs::Lab;

/// Real time for runs, in limits of CPU time: a machine that gives them less is at fault itself.
pub(crate) const SLOWEST: u64 = 10;
const SECRET_MIN: usize = 16;
/// Of one test.
const SEEDS_MAX: u32 = 10_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policy {
    pub(crate) assignment: String,
    pub(crate) labs: Vec<Lab>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    only: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hidden: Option<PathBuf>,
    pub(crate) visibility: Visibility,
    pub(crate) points: f64,
    pub(crate) seeds: SeedPolicy,
    pub(crate) limits: LimitPolicy,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    test: BTreeMap<String, TestPolicy>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SeedPolicy {
    pub(crate) published: Published,
    pub(crate) derived: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    pub(crate) first: u64,
    pub(crate) count: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitPolicy {
    pub(crate) run_s: u64,
    pub(crate) test_s: u64,
    pub(crate) build_s: u64,
    pub(crate) memory_mib: u64,
    pub(crate) processes: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility: Option<Visibility>,
}

/// When students may see a test's result. Only what is visible at once has its report shown anywhere but in the
/// formats that keep such results back themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Visibility {
    Visible,
    AfterDueDate,
    AfterPublished,
    Hidden,
}

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("{0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("{0}: {1}")]
    Malformed(PathBuf, toml::de::Error),
    #[error("`labs` is empty: nothing would be graded")]
    NoLabs,
    #[error("`points` of {0} is {1}: points are 0 or more")]
    Points(String, f64),
    #[error("all tests have 0 points: nothing could be won")]
    NoPoints,
    #[error("there is both `secret` and `secret_file`: give one of them")]
    TwoSecrets,
    #[error("`seeds.derived` is {0}, but there is no `secret` that they could follow from")]
    NoSecret(u32),
    #[error("the secret has {0} bytes; below {SECRET_MIN} it might be guessed")]
    ShortSecret(usize),
    #[error("there are {0} seeds for each test: at least 1, and at most {SEEDS_MAX}")]
    Seeds(u64),
    #[error("`limits.{0}` is 0")]
    NoLimit(&'static str),
    #[error("`limits.run_s` is more than `limits.test_s`, which holds for all runs of a test")]
    RunAboveTest,
    #[error("{0}: there is no such test in labs {1}")]
    UnknownTest(String, String),
    #[error("`hidden`: {0} is no directory")]
    NoHidden(PathBuf),
}

impl Default for Policy {
    /// What holds without a policy: published seeds only, as there is no secret.
    fn default() -> Policy {
        Policy {
            assignment: "raft labs".into(),
            labs: Lab::all().collect(),
            only: Vec::new(),
            secret: None,
            secret_file: None,
            hidden: None,
            visibility: Visibility::Visible,
            points: 1.0,
            seeds: SeedPolicy::default(),
            limits: LimitPolicy::default(),
            test: BTreeMap::new(),
        }
    }
}

impl Default for SeedPolicy {
    fn default() -> SeedPolicy {
        SeedPolicy { published: Published { first: 1, count: 10 }, derived: 20 }
    }
}

impl Default for LimitPolicy {
    fn default() -> LimitPolicy {
        LimitPolicy { run_s: 60, test_s: 600, build_s: 300, memory_mib: 2048, processes: 2048 }
    }
}

impl LimitPolicy {
    /// What the process of a suite is told of the limits of its runs.
    pub(crate) fn environment(&self) -> [(String, String); 3] {
        [
            ("LABSIM_CPU", self.run_s),
            ("LAB_TIMEOUT", self.run_s.saturating_mul(SLOWEST)),
            ("LAB_MEMORY", self.memory_mib),
        ]
        .map(|(name, limit)| (name.to_owned(), limit.to_string()))
    }
}

impl Policy {
    /// What holds without a policy file: published seeds, as there is no secret.
    pub(crate) fn without_secret() -> Policy {
        let mut policy = Policy::default();
        policy.seeds.derived = 0;
        policy
    }

    /// Reads and checks a policy and what lies beside it.
    pub(crate) fn read(path: &Path) -> Result<Policy, PolicyError> {
        let unreadable = |error| PolicyError::Unreadable(path.to_owned(), error);
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let mut policy: Policy =
            toml::from_str(&text).map_err(|error| PolicyError::Malformed(path.to_owned(), error))?;
        let beside = |name: &Path| path.parent().unwrap_or(Path::new(".")).join(name);
        if let Some(file) = policy.secret_file.take() {
            if policy.secret.is_some() {
                return Err(PolicyError::TwoSecrets);
            }
            let file = beside(&file);
            let secret = fs::read_to_string(&file).map_err(|error| PolicyError::Unreadable(file, error))?;
            policy.secret = Some(secret.trim().to_owned());
        }
        if let Some(hidden) = &mut policy.hidden {
            *hidden = beside(hidden);
            if !hidden.is_dir() {
                return Err(PolicyError::NoHidden(hidden.clone()));
            }
        }
        policy.check()?;
        Ok(policy)
    }

    fn check(&self) -> Result<(), PolicyError> {
        if self.labs.is_empty() {
            return Err(PolicyError::NoLabs);
        }
        let named = self.test.iter().filter_map(|(name, test)| Some((name.as_str(), test.points?)));
        for (name, points) in named.chain([("each test", self.points)]) {
            if !(points.is_finite() && points >= 0.0) {
                return Err(PolicyError::Points(name.to_owned(), points));
            }
        }
        let SeedPolicy { published, derived } = self.seeds;
        match self.secret.as_ref().map(String::len) {
            None if derived > 0 => return Err(PolicyError::NoSecret(derived)),
            Some(length) if length < SECRET_MIN => return Err(PolicyError::ShortSecret(length)),
            _ => {}
        }
        let seeds = u64::from(published.count) + u64::from(derived);
        if seeds == 0 || seeds > u64::from(SEEDS_MAX) {
            return Err(PolicyError::Seeds(seeds));
        }
        let limits = &self.limits;
        for (name, limit) in [
            ("run_s", limits.run_s),
            ("test_s", limits.test_s),
            ("build_s", limits.build_s),
            ("memory_mib", limits.memory_mib),
            ("processes", limits.processes),
        ] {
            if limit == 0 {
                return Err(PolicyError::NoLimit(name));
            }
        }
        if limits.run_s > limits.test_s {
            return Err(PolicyError::RunAboveTest);
        }
        Ok(())
    }

    /// Checks what names tests, now that they are known: `tests` are their full names.
    pub(crate) fn check_tests<'a>(&self, tests: impl Iterator<Item = &'a str>) -> Result<(), PolicyError> {
        let tests: BTreeSet<&str> = tests.map(last_part).collect();
        let unknown = self.test.keys().chain(&self.only).find(|name| !tests.contains(name.as_str()));
        if let Some(unknown) = unknown {
            // A policy may grade fewer labs today than it names tests of.
            let of_lab = Lab::of_test(unknown);
            if of_lab.is_none_or(|lab| self.labs.contains(&lab)) {
                let labs: Vec<_> = self.labs.iter().map(|lab| lab.name()).collect();
                return Err(PolicyError::UnknownTest(unknown.clone(), labs.join(", ")));
            }
        }
        if tests.iter().all(|test| !self.grades(test) || self.points_of(test) == 0.0) {
            return Err(PolicyError::NoPoints);
        }
        Ok(())
    }

    /// Whether a test of the graded labs, by any form of its name, is graded.
    pub(crate) fn grades(&self, test: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == last_part(test))
    }

    /// What a test, by any form of its name, is worth.
    pub(crate) fn points_of(&self, test: &str) -> f64 {
        self.test.get(last_part(test)).and_then(|test| test.points).unwrap_or(self.points)
    }

    pub(crate) fn visibility_of(&self, test: &str, is_hidden: bool) -> Visibility {
        let usual = if is_hidden { Visibility::Hidden } else { self.visibility };
        self.test.get(last_part(test)).and_then(|test| test.visibility).unwrap_or(usual)
    }

    /// A test's seeds: the published ones first, each once.
    pub(crate) fn seeds_of(&self, test: &str) -> Vec<u64> {
        let Published { first, count } = self.seeds.published;
        let mut seeds: Vec<u64> = (first..first + u64::from(count)).collect();
        let wanted = seeds.len() + self.seeds.derived as usize;
        let secret = self.secret.as_deref().unwrap_or_default();
        for number in 0_u64.. {
            if seeds.len() >= wanted {
                break;
            }
            let seed = derive(secret, &self.assignment, last_part(test), number);
            if !seeds.contains(&seed) {
                seeds.push(seed);
            }
        }
        seeds
    }

    /// What students may know of it: the same without secret, derived seeds and hidden tests, and without those tests
    /// that are not visible.
    pub(crate) fn for_students(&self) -> Policy {
        let mut policy = Policy { secret: None, hidden: None, ..self.clone() };
        policy.seeds.derived = 0;
        policy.only.retain(|test| self.visibility_of(test, false) == Visibility::Visible);
        policy.test.retain(|_, test| test.visibility.unwrap_or(self.visibility) == Visibility::Visible);
        policy
    }
}

/// A test's name without its modules.
pub(crate) fn last_part(test: &str) -> &str {
    test.rsplit("::").next().unwrap_or(test)
}

/// A seed by HMAC-SHA256: nobody without the secret knows any of them before, nor one from the others. It has 33 bits,
/// so that it can be typed.
fn derive(secret: &str, assignment: &str, test: &str, number: u64) -> u64 {
    // A key of any length will do.
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        Ok(mac) => mac,
        Err(error) => unreachable!("{error}"),
    };
    for part in ["labgrade seeds 1", assignment, test] {
        // With lengths, so that no two lists of parts look the same.
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    mac.update(&number.to_le_bytes());
    let digest = mac.finalize().into_bytes();
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte)) >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Policy, PolicyError> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("policy.toml");
        fs::write(&path, text).unwrap();
        fs::write(place.path().join("key"), "a key of the course\n").unwrap();
        fs::create_dir(place.path().join("unseen")).unwrap();
        Policy::read(&path)
    }

    const SECRET: &str = "secret = \"sixteen bytes or more\"\n";

    #[test]
    fn the_documented_policy_is_one() {
        let text: String = include_str!("policy.rs")
            .lines()
            .skip_while(|line| *line != "//! ```toml")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!").to_owned() + "\n")
            .collect();
        let policy = read(&text.replace("hidden = \"hidden\"  ", "hidden = \"unseen\"  ")).unwrap();
        assert_eq!((policy.labs.len(), policy.points_of("lab_2b::count_2B")), (2, 2.0));
        assert_eq!(policy.visibility_of("lab_2b::count_2B", false), Visibility::Hidden);
        let defaults = Policy::default();
        assert_eq!(format!("{:?}", policy.seeds), format!("{:?}", defaults.seeds));
        assert_eq!(format!("{:?}", policy.limits), format!("{:?}", defaults.limits));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, what) in [
            ("labs = []", "nothing would be graded"),
            ("labs = [\"2b\"]", "\"2b\" is no lab; the labs are 2A"),
            ("assigment = \"x\"", "unknown field `assigment`"),
            ("points = -1.0", "points are 0 or more"),
            ("points = nan", "points are 0 or more"),
            ("", "there is no `secret`"),
            ("secret = \"short\"", "5 bytes"),
            (&format!("{SECRET}secret_file = \"key\""), "both `secret` and `secret_file`"),
            ("secret_file = \"nowhere\"", "nowhere"),
            (&format!("{SECRET}hidden = \"nowhere\""), "is no directory"),
            (&format!("{SECRET}visibility = \"secret\""), "unknown variant `secret`"),
            ("[seeds]\nderived = 0\npublished = { first = 1, count = 0 }", "0 seeds"),
            (&format!("{SECRET}[seeds]\nderived = 100000"), "100010 seeds"),
            (&format!("{SECRET}[limits]\nmemory_mib = 0"), "`limits.memory_mib` is 0"),
            (&format!("{SECRET}[limits]\nrun_s = 60\ntest_s = 50"), "more than `limits.test_s`"),
            (&format!("{SECRET}[test.a_2B]\npoints = -2.0"), "`points` of a_2B is -2"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
        assert_eq!(read("secret_file = \"key\"").unwrap().secret.as_deref(), Some("a key of the course"));
    }

    #[test]
    fn tests_that_are_named_must_be_there() {
        let tests = || ["lab_2b::count_2B", "lab_2b::basic_2B"].into_iter();
        let check =
            |text: &str| read(&format!("{SECRET}labs = [\"2B\"]\n{text}")).unwrap().check_tests(tests());
        assert!(check("[test.count_2B]\npoints = 0.0").is_ok());
        assert!(check("[test.other_2A]").is_ok(), "of a lab that is not graded");
        let error = check("[test.cuont_2B]").unwrap_err().to_string();
        assert!(error.contains("cuont_2B: there is no such test in labs 2B"), "{error}");
        assert!(check("only = [\"basic_2B\"]").is_ok());
        assert!(check("only = [\"bsaic_2B\"]").is_err());
        assert!(matches!(check("points = 0.0"), Err(PolicyError::NoPoints)));
    }

    #[test]
    fn seeds_follow_from_secret_assignment_and_test() {
        let policy = read(&format!("{SECRET}assignment = \"a\"")).unwrap();
        let seeds = policy.seeds_of("lab_2b::count_2B");
        assert_eq!(seeds.len(), 30);
        assert_eq!(seeds[..10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(seeds.iter().collect::<BTreeSet<_>>().len(), 30);
        assert!(seeds.iter().all(|seed| *seed < 1 << 33));
        assert_eq!(policy.seeds_of("count_2B"), seeds, "the same whatever the module");
        let others = [
            policy.seeds_of("lab_2b::basic_2B"),
            read(&format!("{SECRET}assignment = \"b\"")).unwrap().seeds_of("count_2B"),
            read("secret = \"another secret of the course\"\nassignment = \"a\"")
                .unwrap()
                .seeds_of("count_2B"),
        ];
        for other in others {
            assert!(other[10..].iter().all(|seed| !seeds.contains(seed)), "{other:?}");
        }
    }

    /// The figures were computed by another implementation of HMAC, so that a change that would give all courses other
    /// seeds is noticed.
    #[test]
    fn a_seed_is_what_it_always_was() {
        assert_eq!(derive("sixteen bytes or more", "a", "count_2B", 0), 2_557_338_329);
    }

    #[test]
    fn students_learn_nothing_that_is_not_theirs() {
        let text = format!(
            "{SECRET}hidden = \"unseen\"\n[test.count_2B]\nvisibility = \"hidden\"\n[test.basic_2B]\npoints = 3.0"
        );
        let theirs = toml::to_string(&read(&text).unwrap().for_students()).unwrap();
        assert!(
            !theirs.contains("sixteen") && !theirs.contains("unseen") && !theirs.contains("count_2B"),
            "{theirs}"
        );
        let again = read(&theirs).unwrap();
        assert_eq!((again.points_of("basic_2B"), again.seeds_of("basic_2B").len()), (3.0, 10));
    }
}
