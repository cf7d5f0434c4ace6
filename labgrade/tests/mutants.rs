//! `labgrade mutants` as a user runs it, on a workspace of two tiny crates whose suites say what the labs' suites say.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SUITE: &str = r#"
//! Speaks as the labs' suites do, without their runtime.
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let tests = ["lab::holds_LAB"];
    if arguments.iter().any(|it| it == "--list") {
        tests.iter().for_each(|test| println!("{test}: test"));
        return;
    }
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (first, runs) = (number("LAB_SEED"), number("LAB_RUNS"));
    let test = tests.iter().find(|test| arguments.iter().any(|it| it == *test)).unwrap();
    match (first..first + runs).find(|seed| !PACKAGE::holds(*seed)) {
        None => println!("{test}: ok; 1 peer; 0.1 s, seed={first}"),
        Some(seed) => {
            println!("{test}: FAILED with seed {seed}\nholds_LAB failed after 0.1 s:\n\nit does not hold\nrule holding: x");
            println!("to see it again:\n  LAB_SEED={seed}");
            std::process::exit(101);
        }
    }
}
"#;

const SOURCE: &str = "\
/// Whether it holds.
pub fn holds(_seed: u64) -> bool {
    true
}
";

fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A patch that lets `holds` be `becomes`.
fn diff(becomes: &str) -> String {
    format!(
        "--- a/raft/src/lib.rs\n+++ b/raft/src/lib.rs\n@@ -1,4 +1,4 @@\n /// Whether it holds.\n \
         pub fn holds(_seed: u64) -> bool {{\n-    true\n+    {becomes}\n }}\n"
    )
}

fn mutant(kind: &str, becomes: &str) -> String {
    let header = "Bug: it does not hold\nRule: holding\nPaper: 1\nStudent sees: nothing\nLabs: 2A\nKind:";
    format!("{header} {kind}\n\n{}", diff(becomes))
}

fn workspace(root: &Path) {
    put(root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"raft\", \"kvraft\"]\n");
    let package = |name: &str| format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
    put(root, "Cargo.lock", &format!("version = 4\n{}{}", package("kvraft"), package("raft")));
    for (name, lab) in [("raft", "2A"), ("kvraft", "3A")] {
        let suite = "[[test]]\nname = \"suite\"\npath = \"tests/suite.rs\"\nharness = false\n";
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{suite}");
        put(root, &format!("{name}/Cargo.toml"), &manifest);
        put(root, &format!("{name}/src/lib.rs"), SOURCE);
        put(
            root,
            &format!("{name}/tests/suite.rs"),
            &SUITE
                .replace("LAB\"", &format!("{lab}\""))
                .replace("holds_LAB", &format!("holds_{lab}"))
                .replace("PACKAGE", name),
        );
    }
    put(root, ".gitignore", "/target\n");
    put(root, "docs/rules/holding.md", "# holding\n");
    put(root, "mutants/classic.tsv", "# bug, title, result\n1\tlate\tnever: 0 of 28\n");
    put(root, "mutants/1-late.patch", &mutant("safety", "_seed < 5"));
    put(root, "mutants/2-harmless.patch", &mutant("safety", "_seed < 1_000"));
    put(root, "mutants/3-same.patch", &mutant("equivalent: it holds all the same", "_seed < u64::MAX"));
    assert!(Command::new("git").args(["init", "-q"]).current_dir(root).status().unwrap().success());
}

/// Exit code, standard output and standard error of `labgrade mutants` with these arguments.
fn mutants(root: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labgrade"));
    let output = command.arg("mutants").args(arguments).current_dir(root).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_matrix_is_measured_kept_and_judged() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    workspace(root);

    let (code, out, err) = mutants(root, &["late", "same", "reference", "--control", "3"]);
    let last = "killed 1 of 1 safety mutants; accused 0 of 1 correct variants\n";
    assert_eq!((code, out.as_str()), (Some(0), last), "{err}");
    assert!(err.contains("killed    1-late: seed 5, ") && err.contains("lab::holds_2A: holding"), "{err}");
    assert!(err.contains("silent    3-same: 20 seeds of 2A"), "{err}");
    let json = fs::read_to_string(root.join("target/mutants/matrix.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let kill = &json["mutants"][0]["result"]["done"]["labs"][0]["kills"][0];
    assert_eq!((&kill["seed"], &kill["rule"]), (&5.into(), &"holding".into()), "{json}");
    let report = fs::read_to_string(root.join("target/mutants/matrix/1-late.txt")).unwrap();
    assert!(report.contains("FAILED with seed 5"), "{report}");
    assert_eq!(fs::read_dir(root.join("target/mutants/binaries")).unwrap().count(), 0);

    // What is known is not tried again, until something changes.
    let again = ["late", "same", "reference", "--control", "2", "--markdown", "page.md"];
    let (code, out, err) = mutants(root, &again);
    assert_eq!((code, out.as_str()), (Some(0), last), "{err}");
    assert!(err.contains("3 of 3 are known already") && !err.contains("killed"), "{err}");
    let page = fs::read_to_string(root.join("page.md")).unwrap();
    assert!(
        page.contains("| [holding](rules/holding.md) in holds_2A | 5 |")
            && page.contains("| never: 0 of 28 |"),
        "{page}"
    );
    put(root, "mutants/1-late.patch", &mutant("safety", "_seed < 4"));
    let (_, _, err) = mutants(root, &again);
    assert!(err.contains("2 of 3 are known already") && err.contains("killed    1-late: seed 4, "), "{err}");

    // Or all the same, which the page tells.
    let suite = root.join("raft/tests/suite.rs");
    put(root, "raft/tests/suite.rs", &(fs::read_to_string(suite).unwrap() + "// Changed.\n"));
    let (code, out, err) = mutants(root, &[&again[..], &["--known"]].concat());
    assert_eq!((code, out.as_str()), (Some(0), last), "{err}");
    assert!(err.contains("3 of 3 are known already") && !err.contains("killed"), "{err}");
    let page = fs::read_to_string(root.join("page.md")).unwrap();
    assert!(
        page.contains("Of 3 mutants and variants, marked \\*,") && page.contains("| 1-late \\* |"),
        "{page}"
    );

    // A survivor, a mutant that does not compile, one whose patch does not apply, and a variant that is accused.
    put(root, "mutants/4-broken.patch", &mutant("safety", "seed < 4"));
    put(root, "mutants/5-moved.patch", &mutant("safety", "_seed < 4").replace("-    true", "-    false"));
    let about = "Variant: odd\nWhy it is right: it is not\nDiffers in: seed 2\n\n";
    put(root, "mutants/correct/odd.patch", &format!("{about}{}", diff("_seed != 2")));
    let (code, out, err) = mutants(root, &["--control", "3"]);
    assert_eq!(code, Some(1), "{err}");
    assert_eq!(out, "killed 1 of 4 safety mutants; accused 1 of 2 correct variants\n", "{err}");
    assert!(err.contains("SURVIVED  2-harmless: 100 seeds of 2A"), "{err}");
    assert!(
        err.contains("BROKEN    4-broken: it does not compile:\nerror")
            || err.contains("cannot find value `seed`"),
        "{err}"
    );
    assert!(err.contains("BROKEN    5-moved: raft/src/lib.rs: hunk 1 does not apply"), "{err}");
    assert!(err.contains("ACCUSED   odd: 2A: 1 x 3, 3A: 1 x 3"), "{err}");
    assert!(err.contains("lab::holds_2A with seed 2: it does not hold"), "{err}");

    let (code, out, err) = mutants(root, &["--check", "broken", "late"]);
    assert_eq!((code, out.as_str()), (Some(1), "1 of 2 apply and compile\n"), "{err}");
    assert!(err.contains("ok        1-late"), "{err}");
}

/// What the compiler keeps from build to build may be wrong after a build that was stopped.
#[test]
fn what_a_stopped_build_has_left_is_not_built_upon() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    workspace(root);
    let unclean = root.join("target/mutants/build.unclean");
    assert_eq!(mutants(root, &["late"]).0, Some(0));
    let kept = root.join("target/mutants/build/debug/incremental");
    assert!(kept.is_dir() && !unclean.exists());
    // A mutant that does not compile stops nothing.
    put(root, "mutants/4-broken.patch", &mutant("safety", "seed < 4"));
    assert_eq!(mutants(root, &["broken"]).0, Some(1));
    assert!(!unclean.exists());

    // Whoever asks this cargo for a build is killed in the midst of it.
    let deadly = root.join("target/deadly");
    let script = "#!/bin/sh\n[ \"$1\" = locate-project ] && exec cargo \"$@\"\nkill -9 $PPID\n";
    let make = ["-c", "cat >target/deadly && chmod +x target/deadly"];
    let mut shell = Command::new("sh").args(make).current_dir(root).stdin(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
    let mut stopped = Command::new(env!("CARGO_BIN_EXE_labgrade"));
    let stopped =
        stopped.args(["mutants", "late", "--fresh"]).env("CARGO", deadly).current_dir(root).output();
    assert_eq!(stopped.unwrap().status.signal(), Some(9));
    assert!(unclean.exists());
    fs::write(kept.join("left"), "").unwrap();
    assert_eq!(mutants(root, &["late", "--fresh"]).0, Some(0));
    assert!(!unclean.exists() && !kept.join("left").exists());
}

#[test]
fn what_keeps_it_from_finding_out_is_said() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    workspace(root);
    let refused = |arguments: &[&str]| {
        let (code, out, err) = mutants(root, arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        err
    };
    assert!(refused(&["no-such-name"]).contains("there is no mutant and no variant of such a name"));
    let without = refused(&["--without", "nothing"]);
    assert!(
        without.contains(
            "\"nothing\" is neither `all` nor a rule that an oracle watches over; these are holding"
        ),
        "{without}"
    );
    put(root, "mutants/6-typo.patch", &mutant("saftey", "false"));
    assert!(refused(&["late"]).contains("mutants/6-typo.patch:6: \"saftey\" is no kind"));
}
