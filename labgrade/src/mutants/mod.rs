//! `labgrade mutants`: tries the suites on solutions with one known bug, and on correct ones.

mod bench;
pub(crate) mod catalogue;
mod matrix;
mod trial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use crate::files::write_whole;
use crate::tree::fingerprint;
use bench::{Bench, REFERENCE, Work};
use catalogue::{About, Catalogue, Kind, Mutant, Variant};
use matrix::{Classic, Matrix};

/// Tries the suites on solutions with one known bug each, and on correct ones
///
/// Prints the kill matrix: which test or rule objects first to each mutant, after how many seeds and how much CPU
/// time. Writes it as matrix.json and matrix.md into the output directory. What was found is kept there, with what the
/// first test to object printed, and not tried again as long as neither the mutant nor the sources change.
///
/// Exit code: 0 if all safety mutants were killed and no correct variant was accused, 1 if not, 2 if that could not be
/// found out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab mutants                      the whole matrix
  cargo lab mutants 19 vote --fresh      those with 19 or vote in their names, tried again
  cargo lab mutants --sample 5           five safety mutants, drawn by a fixed seed
  cargo lab mutants @lock-step           mutants of a correct variant
  cargo lab mutants --correct            correct solutions, 1000 seeds each: nobody may object
  cargo lab mutants --without commit-rule   who else would have noticed?
  cargo lab mutants --known              what is new, and the page of all")]
pub(crate) struct Args {
    /// Only mutants and variants whose name contains one of these
    filter: Vec<String>,
    /// Seeds for each test until a mutant counts as having survived, or a correct variant as acquitted [default: 100,
    /// with --correct 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// At most so many of them for mutants that are no safety bugs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    others: u32,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    first_seed: u64,
    /// Seeds in labs above those that are to kill the mutant, to see whether they object too
    #[arg(long, value_name = "N", default_value_t = 4)]
    above: u32,
    /// Seeds for the correct variants in a run that is about mutants; with 0 they are left out
    #[arg(long, value_name = "N", default_value_t = 10)]
    control: u32,
    /// The same in the labs 3A and 3B, whose tests cost many times as much [default: as many, but at most 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    kv_seeds: Option<u32>,
    /// Go on after the first objection, until every test has objected or used up its seeds
    #[arg(long)]
    every_test: bool,
    /// Where one test, or one rule's oracle, alone objected to a mutant: so many seeds without it, to see who else would
    /// have found it; with 0, none
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "without")]
    turns: u32,
    /// Try the correct variants, and no mutants
    #[arg(long)]
    correct: bool,
    /// See that every patch applies and compiles, and try nothing
    #[arg(long, conflicts_with_all = ["correct", "sample"])]
    check: bool,
    /// Only so many of the solution's safety mutants, and of the correct ones only the solution
    #[arg(long, value_name = "N", conflicts_with = "correct")]
    sample: Option<usize>,
    /// Which sample
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    sample_seed: u64,
    /// Switch one rule's oracle off, or `all`
    #[arg(long, value_name = "RULE")]
    without: Option<String>,
    /// Try again what has been tried
    #[arg(long)]
    fresh: bool,
    /// Take what has been found out with an earlier state of the sources, and try only what nothing is known of; the page
    /// marks it
    #[arg(long, conflicts_with = "fresh")]
    known: bool,
    /// How many mutants are tried at a time [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Real time for one run of a test, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
    /// Where scratch files and results go [default: target/mutants]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the page here too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Runs the command. The error is one that kept it from finding anything out.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    let bench = Bench::set_up(args)?;
    let mut catalogue = match Catalogue::read(&bench.root().join("mutants"), bench.solution())? {
        Ok(catalogue) => catalogue,
        Err(complaints) => {
            complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
            return Ok(ExitCode::from(2));
        }
    };
    let classic = classic(&bench.root().join("mutants/classic.tsv"))?;
    let unfit = if args.check { Vec::new() } else { catalogue.spread() };
    let variants = catalogue.variants.clone();
    let reference =
        Variant { name: REFERENCE.into(), about: About::solution(), tree: bench.solution().clone() };
    catalogue.variants.insert(0, reference);
    select(&mut catalogue, args);
    let mutants =
        catalogue.mutants.into_iter().map(|mutant| Work::mutant(mutant, bench.solution(), &variants));
    let works: Vec<Work> = mutants.chain(catalogue.variants.into_iter().map(Work::correct)).collect();
    if works.is_empty() {
        return Err(io::Error::other("there is no mutant and no variant of such a name"));
    }
    if args.check {
        return Ok(ExitCode::from(u8::from(!bench.check(&works)?)));
    }
    let matrix = bench.try_all(&works, unfit)?;
    write(&matrix, &bench, &classic, args)?;
    println!("{}", matrix.summary());
    Ok(ExitCode::from(u8::from(!matrix.is_good())))
}

/// Leaves in the catalogue what the command line asks for.
fn select(catalogue: &mut Catalogue, args: &Args) {
    let asked = |name: &str| args.filter.is_empty() || args.filter.iter().any(|part| name.contains(part));
    catalogue.mutants.retain(|mutant| !args.correct && asked(&mutant.id));
    let wanted = args.correct || args.check || args.control > 0;
    catalogue.variants.retain(|variant| wanted && asked(&variant.name));
    if let Some(count) = args.sample {
        // The solution's own, which build fastest.
        catalogue.variants.truncate(1);
        catalogue.mutants.retain(|mutant| mutant.header.kind == Kind::Safety && mutant.variant.is_none());
        let rank = |mutant: &Mutant| fingerprint([&args.sample_seed.to_le_bytes()[..], mutant.id.as_bytes()]);
        catalogue.mutants.sort_by_key(rank);
        catalogue.mutants.truncate(count);
        catalogue.mutants.sort_by(|a, b| (a.number, &a.id).cmp(&(b.number, &b.id)));
    }
}

/// Reads what the original suites make of the classic bugs.
fn classic(path: &Path) -> io::Result<BTreeMap<u32, Classic>> {
    let text = fs::read_to_string(path)?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let parts: Vec<&str> = line.split('\t').collect();
            let entry = match parts[..] {
                [bug, name, measured] => Some((bug, name, measured, "")),
                [bug, name, measured, reason] => Some((bug, name, measured, reason)),
                _ => None,
            };
            let entry = entry.and_then(|(bug, name, measured, reason)| {
                let [name, measured, reason] = [name, measured, reason].map(str::to_owned);
                Some((bug.parse().ok()?, Classic { name, measured, reason }))
            });
            let wrong = || {
                let what = "not a number, a bug, a result and perhaps a reason with tabs between";
                format!("{}:{number}: {what}", path.display())
            };
            entry.ok_or_else(|| io::Error::other(wrong()))
        })
        .collect()
}

fn write(
    matrix: &Matrix,
    bench: &Bench<'_>,
    classic: &BTreeMap<u32, Classic>,
    args: &Args,
) -> io::Result<()> {
    let page = matrix.markdown(classic, bench.rules());
    let at = |extension: &str| bench.out().join(format!("{}.{extension}", bench.label()));
    write_whole(&at("json"), serde_json::to_string_pretty(matrix)?)?;
    write_whole(&at("md"), &page)?;
    if let Some(path) = &args.markdown {
        write_whole(path, &page)?;
    }
    eprintln!("see {}", at("md").display());
    Ok(())
}
