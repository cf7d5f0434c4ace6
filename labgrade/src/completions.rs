//! `labgrade completions`: what a shell needs to complete the command line.

use std::io;
use std::process::ExitCode;

use clap_complete::Shell;

/// Prints completion for a shell
///
/// It completes a command of your own name for this program; cargo does not let `cargo lab` be completed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lab() { cargo lab \"$@\"; }                       in ~/.bashrc: a command of that name
  cargo lab completions bash > ~/.lab-completion   and in ~/.bashrc: source ~/.lab-completion
  cargo lab completions zsh > ~/.zfunc/_lab
  cargo lab completions fish > ~/.config/fish/completions/lab.fish")]
pub(crate) struct Args {
    shell: Shell,
    /// The command that is completed
    #[arg(long, default_value = "lab")]
    name: String,
}

/// Runs `labgrade completions` for this `command`.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> io::Result<ExitCode> {
    // As a buffer first: who reads may stop reading, as `head` does, and that is no panic.
    let mut script = Vec::new();
    command = command.bin_name(&args.name);
    clap_complete::generate(args.shell, &mut command, &args.name, &mut script);
    match io::Write::write_all(&mut io::stdout(), &script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(ExitCode::SUCCESS),
    }
}
