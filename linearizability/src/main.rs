//! `linearizability check FILE...`: reads histories, decides, explains, writes pages.
//!
//! Exit status: 0 if every history is linearizable, 1 if one is not, otherwise 2 (undecided, unreadable, wrong
//! usage).

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use linearizability::models::{CasRegister, KvStore, PerKey};
use linearizability::read::{Parsed, parse};
use linearizability::{History, Model, Options, Verdict, check, page, report};

const USAGE: &str = "\
usage: linearizability check [OPTION]... FILE...

Reads histories (tab-separated key/value operations, Jepsen EDN of one register or one per key, log lines of a
register; - is standard input) and says whether each is linearizable.

  --page PATH          write the page of the only FILE to PATH, whatever the verdict
  --pages DIR          write a page for each FILE that is not linearizable, or undecided, into DIR
                       (without either, into the current directory)
  --no-page            write no page
  --configurations N   give up after N configurations of the search (default 3000000)
  --time SECONDS       give up after so long (default: never)
  --threads N          use at most N threads (default: one per core)

Exit status: 0 all linearizable, 1 one is not, 2 undecided, unreadable, or wrong usage.
";

#[derive(Debug)]
struct Arguments {
    files: Vec<PathBuf>,
    options: Options,
    pages: Pages,
}

#[derive(Debug)]
enum Pages {
    None,
    To(PathBuf),
    Into(PathBuf),
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (mut bad, mut doubtful) = (false, false);
    for file in &arguments.files {
        match check_file(file, &arguments) {
            Ok(Verdict::Linearizable(_)) => {}
            Ok(Verdict::Violation(_)) => bad = true,
            Ok(Verdict::Unknown(_)) => doubtful = true,
            Err(message) => {
                eprintln!("{}: {message}", file.display());
                doubtful = true;
            }
        }
    }
    ExitCode::from(if bad { 1 } else { 2 * u8::from(doubtful) })
}

/// `None` if help was asked for.
fn arguments(mut args: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    match args.next().as_deref() {
        Some("check") => {}
        Some("--help" | "-h" | "help") => return Ok(None),
        Some(other) => return Err(format!("unknown command {other:?}")),
        None => return Err("no command".into()),
    }
    let mut parsed =
        Arguments { files: Vec::new(), options: Options::default(), pages: Pages::Into(PathBuf::from(".")) };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} takes a value"));
        let wrong = |value: &str| format!("{arg} takes a number, not {value:?}");
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--page" => parsed.pages = Pages::To(value()?.into()),
            "--pages" => parsed.pages = Pages::Into(value()?.into()),
            "--no-page" => parsed.pages = Pages::None,
            "--configurations" => {
                let value = value()?;
                parsed.options.configurations = value.parse().map_err(|_| wrong(&value))?;
            }
            "--time" => {
                let value = value()?;
                let seconds = value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                parsed.options.time = Some(seconds.ok_or_else(|| wrong(&value))?);
            }
            "--threads" => {
                let value = value()?;
                parsed.options.threads = Some(value.parse().map_err(|_| wrong(&value))?);
            }
            option if option.starts_with('-') && option != "-" => {
                return Err(format!("unknown option {option}"));
            }
            file => parsed.files.push(file.into()),
        }
    }
    match (&parsed.pages, parsed.files.len()) {
        (_, 0) => Err("no FILE".into()),
        (Pages::To(_), 2..) => Err("--page takes one FILE; --pages takes several".into()),
        _ => Ok(Some(parsed)),
    }
}

fn check_file(file: &Path, arguments: &Arguments) -> Result<Verdict, String> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    match parse(&bytes.map_err(|e| e.to_string())?).map_err(|e| e.to_string())? {
        Parsed::Kv(history) => check_history(&KvStore, &history, file, arguments),
        Parsed::Register(history) => check_history(&CasRegister, &history, file, arguments),
        Parsed::Registers(history) => check_history(&PerKey(CasRegister), &history, file, arguments),
    }
}

fn check_history<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    file: &Path,
    arguments: &Arguments,
) -> Result<Verdict, String> {
    let start = Instant::now();
    let verdict = check(model, history, &arguments.options);
    let seconds = start.elapsed().as_secs_f64();
    print!("{}: {}", file.display(), report(model, history, &verdict));
    println!("({} operations, {seconds:.3} s)", history.len());
    let path = match &arguments.pages {
        Pages::To(path) => path.clone(),
        Pages::Into(folder) if !verdict.is_linearizable() => {
            let stem = file.file_stem().filter(|stem| *stem != "-").unwrap_or("history".as_ref());
            folder.join(stem).with_extension("html")
        }
        _ => return Ok(verdict),
    };
    std::fs::write(&path, page(model, history, &verdict, &file.display().to_string()))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    println!("page: {}", path.display());
    Ok(verdict)
}
