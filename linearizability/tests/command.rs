//! The `check` command: what it prints, what it writes, how it exits.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of its own for each test, with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder
}

fn run(folder: &PathBuf, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_linearizability")).current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const GOOD: &str = "1\t1\t2\tput\tk\ta;\t\n2\t3\t4\tget\tk\t\ta;\n";
const BAD: &str = "1\t1\t2\tput\tk\ta;\t\n2\t3\t4\tget\tk\t\t\n";
const BROKEN: &str = "1\t1\t2\tput\tk\ta;\t\n2\t3\tfour\tget\tk\t\t\n";
const REGISTER: &str =
    "{:process 0 :type :invoke :f :write :value 1}\n{:process 0 :type :ok :f :write :value 1}\n";

/// Twenty-four concurrent appends that can be read in many ways, and a value they do not add up to.
fn hard() -> String {
    let mut text: String =
        (1..=24).map(|n| format!("{n}\t{n}\t{}\tappend\tk\t{}\t\n", n + 100, "a".repeat(n))).collect();
    text.push_str(&format!("0\t200\t201\tget\tk\t\t{}\n", "a".repeat(299)));
    text
}

#[test]
fn linearizable_is_zero() {
    let folder = folder("good", &[("good.tsv", GOOD), ("register.edn", REGISTER)]);
    let out = run(&folder, &["check", "good.tsv", "register.edn"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert!(text(&out.stdout).starts_with("good.tsv: linearizable: 2 operations\n"), "{out:?}");
    assert!(!folder.join("good.html").exists(), "no page without need");
    assert_eq!(run(&folder, &["check", "--page", "p.html", "good.tsv"]).status.code(), Some(0));
    assert!(std::fs::read_to_string(folder.join("p.html")).unwrap().contains("\"verdict\":\"linearizable\""));
}

#[test]
fn a_violation_is_one_with_explanation_and_page() {
    let folder = folder("bad", &[("good.tsv", GOOD), ("bad.tsv", BAD), ("broken.tsv", BROKEN)]);
    let out = run(&folder, &["check", "good.tsv", "bad.tsv", "broken.tsv"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let stdout = text(&out.stdout);
    assert!(
        stdout.contains("bad.tsv: not linearizable: on \"k\": an acknowledged write vanished"),
        "{stdout}"
    );
    assert!(stdout.contains("#0 client 1  |---"), "{stdout}");
    assert!(stdout.contains("page: ./bad.html"), "{stdout}");
    assert!(std::fs::read_to_string(folder.join("bad.html")).unwrap().contains("\"core\":[0,1]"));
}

#[test]
fn a_history_with_keys_names_the_key() {
    let events =
        "[{:process 0 :type :invoke :f :write :value [1 2]} {:process 0 :type :ok :f :write :value [1 2]}
        {:process 0 :type :invoke :f :read :value [7 nil]} {:process 0 :type :ok :f :read :value [7 nil]}
        {:process 1 :type :invoke :f :read :value [1 nil]} {:process 1 :type :ok :f :read :value [1 nil]}]";
    let folder = folder("keys", &[("keys.edn", events)]);
    let out = run(&folder, &["check", "--no-page", "keys.edn"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let stdout = text(&out.stdout);
    assert!(stdout.contains("not linearizable: on \"1\": "), "{stdout}");
    assert!(stdout.contains("read -> nil (key 1)"), "{stdout}");
}

#[test]
fn unreadable_and_undecided_are_two() {
    let folder = folder("unreadable", &[("good.tsv", GOOD), ("broken.tsv", BROKEN), ("hard.tsv", &hard())]);
    let out = run(&folder, &["check", "good.tsv", "broken.tsv"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert_eq!(text(&out.stderr), "broken.tsv: line 2, column 5: ret is an integer, not \"four\"\n");
    let out = run(&folder, &["check", "missing.tsv"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let out = run(&folder, &["check", "--no-page", "--configurations", "5000", "hard.tsv"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(text(&out.stdout).starts_with("hard.tsv: unknown: undecided after "), "{out:?}");
    assert!(!folder.join("hard.html").exists());
}

#[test]
fn wrong_usage_is_two_and_says_what() {
    let folder = folder("usage", &[]);
    for (args, says) in [
        (&[][..], "no command"),
        (&["chekc", "x"], "unknown command \"chekc\""),
        (&["check"], "no FILE"),
        (&["check", "--wat", "x"], "unknown option --wat"),
        (&["check", "--time"], "--time takes a value"),
        (&["check", "--time", "-1", "x"], "--time takes a number, not \"-1\""),
        (&["check", "--threads", "0", "x"], "--threads takes a number, not \"0\""),
        (&["check", "--page", "p", "x", "y"], "--page takes one FILE"),
    ] {
        let out = run(&folder, args);
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert!(text(&out.stderr).starts_with(says), "{args:?}: {out:?}");
    }
    assert_eq!(run(&folder, &["--help"]).status.code(), Some(0));
}
