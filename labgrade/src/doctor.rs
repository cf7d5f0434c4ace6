//! `labgrade doctor`: looks at the machine, and says what each missing thing costs.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use nix::sys::resource::{Resource, getrlimit};

use crate::builder::cargo;
use crate::exit;
use crate::grade::jail::Strength;
use crate::workspace::Workspace;

/// Says what this machine lacks for the labs, and what that costs
///
/// Builds the simulation's own crate to see whether there is virtual time: some seconds the first time.
///
/// Exit code: 0 if all that the labs need is there, though things may be slower or less exact than elsewhere; 1 if something is
/// missing; 2 if that could not be found out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cargo lab doctor")]
pub(crate) struct Args {}

/// What was found out about one thing.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    found: String,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Good,
    /// It works, but at this price.
    Costs(&'static str),
    /// The labs do not work; what to do.
    Missing(&'static str),
}

use State::{Costs, Good, Missing};

const GIB: u64 = 1 << 30;
const OLD_RUST: &str = "nothing builds: get a newer one, by `rustup update`";
const NO_LINKER: &str = "nothing builds: install a C compiler, by `apt install gcc` or the like";
const ONE_CORE: &str = "seeds are tried one after the other";
const LITTLE_MEMORY: &str =
    "builds may be killed: `cargo test -j 1` takes less; runs may take up to LAB_MEMORY MiB, 4096 if not set";
const LITTLE_DISK: &str =
    "the build directory takes some GiB: `cargo clean`, or CARGO_TARGET_DIR on another disk";
const NO_VIRTUAL_TIME: &str = "tests take real time, minutes for a lab, and a failure may not come back. A container of Linux on \
    x86_64 with glibc, as in .devcontainer, has virtual time";
const SLOW_TURNS: &str =
    "threads take turns by futexes: runs take several times as long; they are the same runs";
const RANDOM_ADDRESSES: &str =
    "locks in statics lie elsewhere in each process: where threads contend for them, a seed may not replay";
const FEW_PROCESSES: &str = "runs with many threads may fail to start some: raise it by `ulimit -u`";
const FEW_FILES: &str = "many runs at a time may fail to open pipes: raise it by `ulimit -n`";
const WEAK_JAIL: &str =
    "only for staff: `grade` holds submissions back by user and limits, and not from files and network";
const NO_GIT: &str = "only for staff: `handout` and `mutants` ask git which files belong to the course";

/// Runs `labgrade doctor`.
pub(crate) fn run(_: &Args) -> io::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut missing = false;
    let checks: [&dyn Fn() -> Finding; 10] = [
        &|| rust(workspace.root()),
        &linker,
        &cores,
        &memory,
        &|| disk(workspace.root()),
        &|| virtual_time(workspace.root()),
        &turns,
        &addresses,
        &limits,
        &git,
    ];
    for check in checks {
        missing |= show(&check());
    }
    missing |= show(&jail());
    println!(
        "{}",
        if missing {
            "\nSomething that the labs need is missing."
        } else {
            "\nAll that the labs need is there."
        }
    );
    Ok(ExitCode::from(if missing { exit::FAILED } else { 0 }))
}

/// Prints a finding; whether something is missing.
fn show(finding: &Finding) -> bool {
    let Finding { what, found, state } = finding;
    let (mark, price) = match state {
        Good => ("ok", ""),
        Costs(price) => ("costs", *price),
        Missing(price) => ("MISSING", *price),
    };
    println!("{mark:<8}{what:<14}{found}");
    if !price.is_empty() {
        println!("{:22}{price}", "");
    }
    matches!(state, Missing(_))
}

/// The first line that a program prints, if it can be run.
fn said_by(command: &mut Command) -> Option<String> {
    let said = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    said.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn rust(root: &Path) -> Finding {
    let found = said_by(Command::new("rustc").arg("--version").current_dir(root));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let needed = manifest.lines().find_map(|line| version(line.strip_prefix("rust-version = ")?));
    let state = match (found.as_deref().and_then(version), needed) {
        (Some(found), Some(needed)) if found >= needed => Good,
        _ => Missing(OLD_RUST),
    };
    let needs =
        needed.map_or(String::new(), |(major, minor)| format!("; {major}.{minor} or later is needed"));
    Finding { what: "Rust", found: found.unwrap_or_else(|| "no rustc can be run".into()) + &needs, state }
}

/// The first two numbers of a version, wherever it stands in the text.
fn version(text: &str) -> Option<(u32, u32)> {
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let mut numbers = text[from..].split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn linker() -> Finding {
    let found = said_by(Command::new("cc").arg("--version"));
    let state = if found.is_some() { Good } else { Missing(NO_LINKER) };
    Finding { what: "linker", found: found.unwrap_or_else(|| "no cc can be run".into()), state }
}

fn cores() -> Finding {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let found = format!("{cores} for this process, by affinity and quota; load {load}");
    Finding { what: "cores", found, state: if cores > 1 { Good } else { Costs(ONE_CORE) } }
}

fn memory() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let bytes = kib.unwrap_or(0) << 10;
    let state = if bytes >= 2 * GIB { Good } else { Costs(LITTLE_MEMORY) };
    Finding { what: "memory", found: format!("{} MiB available", bytes >> 20), state }
}

fn disk(root: &Path) -> Finding {
    let free = rustix::fs::statvfs(root).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    let state = if free >= 4 * GIB { Good } else { Costs(LITTLE_DISK) };
    Finding { what: "disk", found: format!("{} MiB free here", free >> 20), state }
}

fn virtual_time(root: &Path) -> Finding {
    let mut command = Command::new(cargo());
    command.args(["run", "--quiet", "--package", "labsim", "--example", "support"]).current_dir(root);
    let done = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let said = done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default();
    let state = if said == "yes" { Good } else { Costs(NO_VIRTUAL_TIME) };
    let found = if said.is_empty() { "unknown: the simulation could not be run".to_owned() } else { said };
    Finding { what: "virtual time", found, state }
}

fn turns() -> Finding {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = text.lines().find(|line| line.starts_with("flags"));
    let fast = flags.is_some_and(|flags| flags.split(' ').any(|flag| flag == "fsgsbase"));
    let found = if fast { "fast: the processor has FSGSBASE" } else { "slow: no FSGSBASE" };
    Finding { what: "turns", found: found.into(), state: if fast { Good } else { Costs(SLOW_TURNS) } }
}

/// By a child: who has switched it off keeps it so.
fn addresses() -> Finding {
    let fixed = said_by(Command::new("setarch").args(["--addr-no-randomize", "true"])).is_some();
    let found = if fixed { "can be fixed" } else { "`setarch --addr-no-randomize` is refused, or not there" };
    Finding {
        what: "addresses",
        found: found.into(),
        state: if fixed { Good } else { Costs(RANDOM_ADDRESSES) },
    }
}

fn limits() -> Finding {
    let soft = |resource| getrlimit(resource).map_or(0, |(soft, _)| soft);
    let (processes, files) = (soft(Resource::RLIMIT_NPROC), soft(Resource::RLIMIT_NOFILE));
    let state = match (processes >= 4096, files >= 256) {
        (true, true) => Good,
        (false, _) => Costs(FEW_PROCESSES),
        (true, false) => Costs(FEW_FILES),
    };
    let number = |n: u64| if n == u64::MAX { "any number of".to_owned() } else { n.to_string() };
    let found = format!("{} processes and threads, {} open files", number(processes), number(files));
    Finding { what: "limits", found, state }
}

fn git() -> Finding {
    let found = said_by(Command::new("git").arg("--version"));
    let state = if found.is_some() { Good } else { Costs(NO_GIT) };
    Finding { what: "git", found: found.unwrap_or_else(|| "no git can be run".into()), state }
}

fn jail() -> Finding {
    let (found, state) = match Strength::find(false) {
        Ok((Strength::Namespaces, _)) => ("user, mount, pid and network namespaces".to_owned(), Good),
        Ok((Strength::Limits, why)) => {
            (format!("limits only: {}", why.unwrap_or_else(|| "no namespaces".into())), Costs(WEAK_JAIL))
        }
        Err(error) => (error.to_string(), Costs(WEAK_JAIL)),
    };
    Finding { what: "jail", found, state }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        assert_eq!(version("rustc 1.85.1 (4eb161250 2025-03-15)"), Some((1, 85)));
        assert_eq!(version("\"1.85\""), Some((1, 85)));
        assert!(version("rustc 1.9.0") < version("rustc 1.85.0"));
        assert_eq!(version("rustc"), None);
    }

    #[test]
    fn what_is_not_there_is_missing() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("Cargo.toml"), "[package]\nrust-version = \"1.9999\"\n").unwrap();
        let finding = rust(place.path());
        assert_eq!(finding.state, Missing(OLD_RUST));
        assert!(finding.found.ends_with("; 1.9999 or later is needed"), "{}", finding.found);
        assert_eq!(said_by(&mut Command::new("/nowhere/cc")), None);
    }
}
