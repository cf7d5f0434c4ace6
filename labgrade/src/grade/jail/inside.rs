//! `labgrade jail`: makes a jail around itself and runs a command in it. Two steps, since a pid namespace begins with a
//! process that is new: the first makes the namespaces and waits, the second is their first process, and builds the
//! file system.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Uid, pivot_root, setsid};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::{Jail, NOBODY, Proc, Strength, this_program};

/// Run a command in a jail, as `grade` does; not for use by hand
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    strength: String,
    description: String,
    /// This is the second step
    #[arg(long)]
    first: bool,
}

/// Exit code for a jail that could not be made.
const NO_JAIL: u8 = 125;
/// Where the new root may be put together: directories that systems have.
const ROOTS: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

/// Runs the command. Its exit code is that of the command.
pub(crate) fn run(args: &Args) -> ExitCode {
    match run_step(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("no jail: {error}");
            ExitCode::from(NO_JAIL)
        }
    }
}

fn run_step(args: &Args) -> io::Result<ExitCode> {
    let jail: Jail = serde_json::from_str(&args.description)?;
    let strength: Strength = serde_json::from_str(&args.strength)?;
    // Whoever waits for this process may be killed; then so is this one.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let is_root = Uid::effective().is_root();
    match strength {
        Strength::Namespaces if !args.first => {
            make_namespaces(is_root)?;
            let mut command = this_program();
            command.args(["jail", "--first", &args.strength, &args.description]).env_clear();
            wait_for(command)
        }
        Strength::Namespaces => {
            // Asked while there is a `/proc` to ask.
            let user_namespace = in_user_namespace();
            build_root(&jail, user_namespace)?;
            let mut command = jail.command();
            if is_root && !user_namespace {
                become_nobody(&mut command);
            }
            confine(&jail)?;
            wait_for(command)
        }
        Strength::Limits => {
            let mut command = jail.command();
            if is_root {
                become_nobody(&mut command);
            }
            confine(&jail)?;
            wait_for(command)
        }
    }
}

/// A process that was killed by a signal ends like one that failed.
fn wait_for(mut command: Command) -> io::Result<ExitCode> {
    let program = command.get_program().to_owned();
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", program.to_string_lossy()));
    let status: ExitStatus = command.status().map_err(named)?;
    Ok(ExitCode::from(status.code().map_or(1, |code| code as u8)))
}

fn make_namespaces(is_root: bool) -> io::Result<()> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if is_root {
        unshare(flags)?;
        return Ok(());
    }
    let (user, group) = (Uid::effective(), Gid::effective());
    unshare(flags | CloneFlags::CLONE_NEWUSER)?;
    // This user becomes root of the new namespace, and is everybody in it.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    Ok(())
}

/// Whether there is but one user here.
fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2) == Some("1")
}

/// Puts a new root together, and makes it the only one.
fn build_root(jail: &Jail, user_namespace: bool) -> io::Result<()> {
    let none: Option<&str> = None;
    // What is mounted here stays here.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let named: Vec<&PathBuf> = jail.readable.iter().chain(&jail.writable).collect();
    let free = |root: &&str| Path::new(root).is_dir() && !named.iter().any(|path| path.starts_with(root));
    let root = ROOTS.into_iter().find(free).ok_or_else(|| io::Error::other("no directory for a new root"))?;
    let root = Path::new(root);
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("jail"), root, Some("tmpfs"), quiet, Some("size=1m,mode=755"))?;
    let within = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    make_directory(&within(Path::new("/tmp")))?;
    let size = format!("size={},mode=1777", jail.limits.scratch);
    mount(Some("tmp"), &within(Path::new("/tmp")), Some("tmpfs"), quiet, Some(size.as_str()))?;
    for device in ["/dev/null", "/dev/zero", "/dev/urandom"].map(Path::new) {
        bind(device, &within(device), None)?;
    }
    for path in &jail.readable {
        show(path, &within(path))?;
    }
    for path in &jail.writable {
        bind(path, &within(path), Some(quiet))?;
    }
    make_directory(&within(&jail.directory))?;
    make_directory(&within(Path::new("/proc")))?;
    match &jail.proc {
        Proc::Whole => {
            let flags = quiet | MsFlags::MS_NOEXEC;
            let at = within(Path::new("/proc"));
            if let Err(error) = mount(Some("proc"), &at, Some("proc"), flags, none) {
                if !user_namespace {
                    return Err(error.into());
                }
                // Where parts of it are hidden, a new one is refused; the old one shows no more than before.
                mount(Some("/proc"), &at, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
            }
        }
        Proc::Only(executable) => {
            make_directory(&within(Path::new("/proc/self")))?;
            symlink(executable, within(Path::new("/proc/self/exe")))?;
        }
    }
    env::set_current_dir(root)?;
    // The old root goes where the new one is, and then away.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    env::set_current_dir("/")?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | quiet;
    mount(none, "/", none, flags, none)?;
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Shows a file or directory, read-only; a link as the link that it is.
fn show(path: &Path, at: &Path) -> io::Result<()> {
    if let Ok(target) = fs::read_link(path) {
        if let Some(parent) = at.parent() {
            make_directory(parent)?;
        }
        return symlink(target, at);
    }
    bind(path, at, Some(MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV))
}

/// Lets `path` appear at `at` too, with more mount flags if any are given.
fn bind(path: &Path, at: &Path, flags: Option<MsFlags>) -> io::Result<()> {
    let none: Option<&str> = None;
    let named = |error: nix::Error| io::Error::other(format!("{}: {error}", path.display()));
    if path.is_dir() {
        make_directory(at)?;
    } else {
        make_directory(at.parent().unwrap_or(at))?;
        File::create(at)?;
    }
    mount(Some(path), at, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).map_err(named)?;
    let Some(flags) = flags else { return Ok(()) };
    // What was mounted with these must keep them.
    let had = statvfs(at).map_err(named)?.flags();
    let kept = [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let kept = kept.iter().filter(|(flag, _)| had.contains(*flag)).fold(flags, |all, (_, flag)| all | *flag);
    mount(none, at, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | kept, none).map_err(named)
}

fn become_nobody(command: &mut Command) {
    // The standard library gives up all further groups with the user.
    command.uid(NOBODY).gid(NOBODY);
}

/// Gives up what cannot be had again. This process is bound by it as much as the command.
fn confine(jail: &Jail) -> io::Result<()> {
    let limits = &jail.limits;
    // Told first, by a signal that says why, and killed soon after.
    setrlimit(Resource::RLIMIT_CPU, limits.cpu_s, limits.cpu_s.saturating_add(5))?;
    for (resource, limit) in [
        (Resource::RLIMIT_AS, limits.address_space),
        (Resource::RLIMIT_FSIZE, limits.file_size),
        (Resource::RLIMIT_NOFILE, limits.open_files),
        (Resource::RLIMIT_NPROC, limits.processes),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, limit, limit)?;
    }
    // In no namespace a command could gain by executing something what it has not now.
    CapabilitySet::all().iter().for_each(|capability| {
        // Whoever has none has none to give up.
        let _ = remove_capability_from_bounding_set(capability);
    });
    prctl::set_no_new_privs()?;
    // It may lead a session already.
    let _ = setsid();
    Ok(())
}

impl Jail {
    fn command(&self) -> Command {
        let mut parts = self.command.iter();
        let mut command = Command::new(parts.next().map_or_else(PathBuf::new, PathBuf::from));
        command.args(parts).env_clear().envs(self.environment.iter().cloned()).current_dir(&self.directory);
        command
    }
}
