//! What lies in `mutants/`: patches with headers, and correct variants of the solution.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::labs::{Lab, Package};
use crate::tree::{PatchError, Tree};

/// What kind of bug a mutant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Something wrong may become visible.
    Safety,
    /// Something may never happen.
    Liveness,
    /// It works, at too high a price.
    Efficiency,
    /// No bug in this solution.
    Equivalent,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Safety, Kind::Liveness, Kind::Efficiency, Kind::Equivalent];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Safety => "safety",
            Kind::Liveness => "liveness",
            Kind::Efficiency => "efficiency",
            Kind::Equivalent => "equivalent",
        }
    }
}

/// What a patch's author says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) bug: String,
    pub(crate) rule: String,
    pub(crate) paper: String,
    pub(crate) student_sees: String,
    pub(crate) kind: Kind,
    /// Why it is of that kind; an equivalent one always says.
    pub(crate) argument: String,
    /// Those whose suites are to kill it. Never empty; its own lab first.
    pub(crate) labs: Vec<Lab>,
    pub(crate) expect: Option<String>,
}

/// A solution with one known bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// The file's name without `.patch`.
    pub(crate) id: String,
    /// The bug's number in the catalogue.
    pub(crate) number: u32,
    /// The correct variant that it is a mutant of; `None`: of the solution.
    pub(crate) variant: Option<String>,
    pub(crate) header: Header,
    pub(crate) diff: String,
}

/// A correct solution.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) about: About,
    pub(crate) tree: Tree,
}

/// What a variant's author says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) why_right: String,
    pub(crate) differs_in: String,
    /// The labs that it is a solution of.
    pub(crate) labs: Vec<Lab>,
    /// Whether the safety mutants of Raft are to be tried on it too.
    pub(crate) mutants: bool,
}

impl About {
    /// The solution itself.
    pub(crate) fn solution() -> About {
        let labs = Lab::all().collect();
        About { why_right: String::new(), differs_in: String::new(), labs, mutants: false }
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    file: PathBuf,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The lines of a header, by their names, with their numbers, counted from one; errors have such a number too.
struct Lines {
    values: BTreeMap<&'static str, (usize, String)>,
    /// The number of the line after the last.
    end: usize,
}

impl Lines {
    /// `names` are those that there may be.
    fn read(text: &str, names: &[&'static str]) -> Result<Lines, (usize, String)> {
        let mut values: BTreeMap<&str, (usize, String)> = BTreeMap::new();
        let mut current = None;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() {
                current = None;
            } else if line.starts_with([' ', '\t']) {
                let name = current.ok_or((number, "this line continues no header".to_owned()))?;
                let (_, value) = values.get_mut(name).expect("it was put there");
                *value = format!("{value} {}", line.trim());
            } else {
                let (name, value) = line
                    .split_once(':')
                    .ok_or((number, format!("neither `Name: value` nor a diff: {line:?}")))?;
                let known = names.iter().find(|known| **known == name).ok_or_else(|| {
                    (number, format!("{name:?} is no header; the headers are {}", names.join(", ")))
                })?;
                if values.insert(known, (number, value.trim().to_owned())).is_some() {
                    return Err((number, format!("a second `{name}:`")));
                }
                current = Some(*known);
            }
        }
        Ok(Lines { values, end: text.lines().count() + 1 })
    }

    fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn take(&mut self, name: &str) -> Result<(usize, String), (usize, String)> {
        let missing = || (self.end, format!("the header ends, but there was no `{name}:`"));
        let (line, value) = self.values.remove(name).ok_or_else(missing)?;
        if value.is_empty() { Err((line, format!("`{name}:` says nothing"))) } else { Ok((line, value)) }
    }

    fn take_labs(&mut self) -> Result<Vec<Lab>, (usize, String)> {
        let (line, labs) = self.take("Labs")?;
        labs.split(',').map(|lab| lab.trim().parse().map_err(|what| (line, what))).collect()
    }
}

impl Header {
    /// Reads the lines before the diff; the errors name the line, counted from one.
    pub(crate) fn parse(text: &str) -> Result<Header, (usize, String)> {
        let names = ["Bug", "Rule", "Paper", "Student sees", "Kind", "Labs", "Expect"];
        let mut lines = Lines::read(text, &names)?;
        let (kind_line, kind) = lines.take("Kind")?;
        let (kind, argument) = kind_of(&kind).map_err(|what| (kind_line, what))?;
        Ok(Header {
            kind,
            argument,
            labs: lines.take_labs()?,
            bug: lines.take("Bug")?.1,
            rule: lines.take("Rule")?.1,
            paper: lines.take("Paper")?.1,
            student_sees: lines.take("Student sees")?.1,
            expect: if lines.has("Expect") { Some(lines.take("Expect")?.1) } else { None },
        })
    }
}

impl About {
    /// Reads what is said of the variant `name`.
    fn parse(name: &str, text: &str) -> Result<About, (usize, String)> {
        let names = ["Variant", "Why it is right", "Differs in", "Labs", "Mutants"];
        let mut lines = Lines::read(text, &names)?;
        let (line, said) = lines.take("Variant")?;
        if said != name {
            return Err((line, format!("the file's name says that this is {name}")));
        }
        let mutants = if lines.has("Mutants") { Some(lines.take("Mutants")?) } else { None };
        if let Some((line, other)) = mutants.as_ref().filter(|(_, value)| value != "yes") {
            return Err((*line, format!("`Mutants:` may say yes, and not {other:?}")));
        }
        Ok(About {
            why_right: lines.take("Why it is right")?.1,
            differs_in: lines.take("Differs in")?.1,
            labs: if lines.has("Labs") { lines.take_labs()? } else { Lab::all().collect() },
            mutants: mutants.is_some(),
        })
    }
}

/// `safety`, or `equivalent: the reason`.
fn kind_of(value: &str) -> Result<(Kind, String), String> {
    let end = value.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(value.len());
    let (word, rest) = value.split_at(end);
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == word).ok_or_else(|| {
        format!("{word:?} is no kind; the kinds are {}", Kind::ALL.map(Kind::name).join(", "))
    })?;
    let argument = rest.trim_matches(|c: char| c.is_whitespace() || ":;,-()".contains(c)).to_owned();
    if kind == Kind::Equivalent && argument.is_empty() {
        return Err("why is it equivalent? The reason follows the word".into());
    }
    Ok((kind, argument))
}

impl Mutant {
    /// `name` is the file's, without `.patch`.
    fn parse(name: &str, text: &str) -> Result<Mutant, (Option<usize>, String)> {
        let (stem, variant) = match name.split_once('@') {
            Some((stem, variant)) => (stem, Some(variant.to_owned())),
            None => (name, None),
        };
        let number = stem.split_once('-').and_then(|(number, _)| number.parse().ok());
        let number = number.ok_or((None, "the name is not NN-short-name.patch, NN a number".to_owned()))?;
        let (header, diff) = header_and_diff(text);
        if diff.is_empty() {
            return Err((None, "there is no diff in it".to_owned()));
        }
        let header = Header::parse(header).map_err(|(line, what)| (Some(line), what))?;
        Ok(Mutant { id: name.to_owned(), number, variant, header, diff: diff.to_owned() })
    }

    /// The solution, or the variant it is for, with the bug in it.
    pub(crate) fn tree(&self, solution: &Tree, variants: &[Variant]) -> Result<Tree, PatchError> {
        let of_variant = variants.iter().find(|variant| Some(&variant.name) == self.variant.as_ref());
        let mut tree = of_variant.map_or(solution, |variant| &variant.tree).clone();
        tree.apply(&self.diff)?;
        Ok(tree)
    }
}

fn header_and_diff(text: &str) -> (&str, &str) {
    let is_diff = |line: &str| line.starts_with("diff --git ") || line.starts_with("--- ");
    let before: usize = text.split_inclusive('\n').take_while(|line| !is_diff(line)).map(str::len).sum();
    text.split_at(before)
}

/// All mutants and variants, in the order of numbers and names.
pub(crate) struct Catalogue {
    pub(crate) mutants: Vec<Mutant>,
    pub(crate) variants: Vec<Variant>,
}

impl Catalogue {
    /// Adds Raft's safety mutants for the variants that want them, where the patch fits and there is none made for it.
    /// Returns those that fit nowhere, with the variant's name.
    pub(crate) fn spread(&mut self) -> Vec<String> {
        let on = |mutant: &Mutant, variant: &Variant| format!("{}@{}", mutant.id, variant.name);
        let known: BTreeSet<String> = self.mutants.iter().map(|mutant| mutant.id.clone()).collect();
        let (mut fitting, mut others) = (Vec::new(), Vec::new());
        for variant in self.variants.iter().filter(|variant| variant.about.mutants) {
            let eligible = |mutant: &&Mutant| {
                mutant.variant.is_none()
                    && mutant.header.kind == Kind::Safety
                    && mutant.header.labs[0].package() == Package::Raft
                    && !known.contains(&on(mutant, variant))
            };
            for mutant in self.mutants.iter().filter(eligible) {
                let id = on(mutant, variant);
                if variant.tree.clone().apply(&mutant.diff).is_ok() {
                    fitting.push(Mutant { id, variant: Some(variant.name.clone()), ..mutant.clone() });
                } else {
                    others.push(id);
                }
            }
        }
        self.mutants.extend(fitting);
        self.mutants.sort_by(|a, b| (a.number, &a.id).cmp(&(b.number, &b.id)));
        others
    }

    /// Reads `directory`; `solution` is what variants differ from. The error has a line for each file that is not as it
    /// should be.
    pub(crate) fn read(directory: &Path, solution: &Tree) -> io::Result<Result<Catalogue, Vec<Complaint>>> {
        let mut complaints = Vec::new();
        let mut complain = |file: PathBuf, line, what| complaints.push(Complaint { file, line, what });
        let variants_in = directory.join("correct");
        let mut variants = Vec::new();
        for path in if variants_in.is_dir() { entries(&variants_in)? } else { Vec::new() } {
            match Variant::read(&path, solution)? {
                Ok(variant) => variants.push(variant),
                Err((line, what)) => complain(path, line, what),
            }
        }
        let mut mutants = Vec::new();
        for path in entries(directory)? {
            if path.extension().is_none_or(|extension| extension != "patch") {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            match Mutant::parse(&name, &fs::read_to_string(&path)?) {
                Ok(mutant) => match &mutant.variant {
                    Some(variant) if !variants.iter().any(|it| it.name == *variant) => {
                        complain(path, None, format!("there is no correct variant {variant:?}"));
                    }
                    _ => mutants.push(mutant),
                },
                Err((line, what)) => complain(path, line, what),
            }
        }
        mutants.sort_by(|a, b| (a.number, &a.id).cmp(&(b.number, &b.id)));
        Ok(if complaints.is_empty() { Ok(Catalogue { mutants, variants }) } else { Err(complaints) })
    }
}

impl Variant {
    /// Reads `NAME.patch`, a header and what differs from `solution`; or the directory `NAME` with the header in
    /// `variant.txt` and a `raft/src` or `kvraft/src` in the place of the solution's. The inner error names the line, if it
    /// is one of the header's.
    fn read(path: &Path, solution: &Tree) -> io::Result<Result<Variant, (Option<usize>, String)>> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (header, diff, theirs) = if path.is_dir() {
            (fs::read_to_string(path.join("variant.txt"))?, String::new(), Tree::of_directory(path)?)
        } else {
            let text = fs::read_to_string(path)?;
            let (header, diff) = header_and_diff(&text);
            (header.to_owned(), diff.to_owned(), Tree::default())
        };
        let about = match About::parse(&name, &header) {
            Ok(about) => about,
            Err((line, what)) => return Ok(Err((Some(line), what))),
        };
        let mut tree = solution.clone();
        if path.is_dir() {
            for part in ["raft/src", "kvraft/src"] {
                if theirs.files.keys().any(|name| name.starts_with(&format!("{part}/"))) {
                    tree.replace(part, &theirs);
                }
            }
            if tree == *solution {
                return Ok(Err((None, "there is no raft/src and no kvraft/src of its own".into())));
            }
        } else if let Err(error) = tree.apply(&diff) {
            return Ok(Err((None, error.to_string())));
        }
        Ok(Ok(Variant { name, about, tree }))
    }
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.display())))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const HEADER: &str = "\
Bug: counts copies of old entries
Rule: commit-own-term
Paper: 5.4.2,
  figure 8
Student sees: different commands at one index
Kind: safety
Labs: 2B, 2C

";
    const DIFF: &str = "diff --git a/raft/src/a.rs b/raft/src/a.rs\n--- a/raft/src/a.rs\n+++ b/raft/src/a.rs\n@@ -1 +1 @@\n-a\n+b\n";

    #[test]
    fn a_good_patch_is_read() {
        let mutant = Mutant::parse("19-old-entry@lock-step", &format!("{HEADER}{DIFF}")).unwrap();
        assert_eq!((mutant.number, mutant.variant.as_deref()), (19, Some("lock-step")));
        assert_eq!((mutant.id.as_str(), mutant.diff.as_str()), ("19-old-entry@lock-step", DIFF));
        let Header { paper, kind, labs, expect, .. } = mutant.header;
        assert_eq!((paper.as_str(), kind, expect), ("5.4.2, figure 8", Kind::Safety, None));
        assert_eq!(labs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2B", "2C"]);
    }

    #[test]
    fn kinds_may_be_argued_and_an_equivalent_must() {
        assert_eq!(kind_of("liveness"), Ok((Kind::Liveness, String::new())));
        assert_eq!(kind_of("equivalent (no one looks)"), Ok((Kind::Equivalent, "no one looks".into())));
        assert_eq!(kind_of("equivalent: x"), Ok((Kind::Equivalent, "x".into())));
        assert!(kind_of("equivalent").is_err() && kind_of("deadly").unwrap_err().contains("efficiency"));
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let place = tempfile::tempdir().unwrap();
        let complaint = |name: &str, text: String| {
            let file = place.path().join(name);
            fs::write(&file, text).unwrap();
            let read = Catalogue::read(place.path(), &Tree::default()).unwrap();
            fs::remove_file(&file).unwrap();
            let complaints = read.err().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            let complaints = complaints.unwrap_or_else(|| panic!("{name} was taken"));
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            let prefix = format!("{}/", place.path().display());
            complaints[0].strip_prefix(&prefix).unwrap_or_else(|| panic!("{complaints:?}")).to_owned()
        };
        let with = |from: &str, to: &str| format!("{}{DIFF}", HEADER.replace(from, to));
        assert_eq!(
            complaint("1-a.patch", with("Rule:", "Rul:")),
            "1-a.patch:2: \"Rul\" is no header; the headers are Bug, Rule, Paper, Student sees, Kind, Labs, Expect"
        );
        assert!(
            complaint("1-a.patch", with("safety", "safe")).starts_with("1-a.patch:6: \"safe\" is no kind")
        );
        assert!(
            complaint("1-a.patch", with("2B, 2C", "2B 2C")).starts_with("1-a.patch:7: \"2B 2C\" is no lab")
        );
        assert!(
            complaint("1-a.patch", with("Kind: safety\n", ""))
                .contains(":8: the header ends, but there was no")
        );
        assert!(
            complaint("1-a.patch", with("5.4.2,\n  figure 8", "")).ends_with(":3: `Paper:` says nothing")
        );
        assert!(complaint("1-a.patch", with("Kind:", "Rule:")).ends_with(":6: a second `Rule:`"));
        assert!(
            complaint("1-a.patch", format!("\n  more\n{DIFF}"))
                .ends_with(":2: this line continues no header")
        );
        assert!(complaint("1-a.patch", format!("words\n{DIFF}")).contains(":1: neither `Name: value`"));
        assert!(complaint("1-a.patch", HEADER.into()).ends_with("there is no diff in it"));
        assert!(complaint("a-1.patch", with("", "")).contains("NN a number"));
        assert!(complaint("1-a@none.patch", with("", "")).contains("no correct variant \"none\""));
    }

    #[test]
    fn a_variant_replaces_whole_directories_or_is_a_patch() {
        let place = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = place.path().join("correct").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let about = |name: &str| format!("Variant: {name}\nWhy it is right: it is\nDiffers in: a,\n  b\n");
        let mut solution = Tree::default();
        for name in ["raft/src/a.rs", "raft/src/b.rs", "raft/tests/t.rs"] {
            solution.files.insert(name.into(), Arc::from(*b"a\n"));
        }
        put("patched.patch", &format!("{}Labs: 2A, 2B\n\n{DIFF}", about("patched")));
        put("whole/raft/src/lib.rs", "new\n");
        put("whole/variant.txt", &format!("{}Mutants: yes\n", about("whole")));
        let read = Catalogue::read(place.path(), &solution).unwrap().unwrap_or_else(|all| panic!("{all:?}"));
        let [patched, whole] = &read.variants[..] else { panic!("{:?}", read.variants) };
        assert_eq!(*patched.tree.files["raft/src/a.rs"], *b"b\n");
        assert_eq!((patched.about.labs.len(), patched.about.mutants), (2, false));
        assert_eq!(whole.tree.files.keys().collect::<Vec<_>>(), ["raft/src/lib.rs", "raft/tests/t.rs"]);
        assert_eq!((whole.about.labs.len(), whole.about.mutants), (Lab::all().count(), true));
        assert_eq!(whole.about.differs_in, "a, b");

        let mutant = |id: &str, labs: &str| {
            put(&format!("../{id}.patch"), &format!("{}{DIFF}", HEADER.replace("2B, 2C", labs)));
        };
        mutant("1-a", "2B");
        mutant("2-b", "3A");
        mutant("3-c", "2B");
        put("../3-c@fits.patch", &format!("{HEADER}{}", DIFF.replace("+b", "+c")));
        put("fits/variant.txt", &format!("{}Mutants: yes\n", about("fits")));
        put("fits/raft/src/a.rs", "a\n");
        let mut read =
            Catalogue::read(place.path(), &solution).unwrap().unwrap_or_else(|all| panic!("{all:?}"));
        assert_eq!(read.spread(), ["1-a@whole", "3-c@whole"]);
        let spread: Vec<_> = read.mutants.iter().map(|mutant| mutant.id.as_str()).collect();
        assert_eq!(spread, ["1-a", "1-a@fits", "2-b", "3-c", "3-c@fits"]);
        assert!(read.mutants[4].diff.contains("+c"), "the one that was made for it");

        put("broken.patch", &format!("{}\n{}", about("broken"), DIFF.replace("-a", "-x")));
        put("empty/variant.txt", &about("empty"));
        put("named.patch", &format!("{}\n{DIFF}", about("other")));
        put("some.patch", &format!("{}Mutants: some\n\n{DIFF}", about("some")));
        let complaints = Catalogue::read(place.path(), &solution).unwrap().err().expect("four are wrong");
        let complaints: Vec<_> = complaints.iter().map(ToString::to_string).collect();
        assert!(complaints[0].contains("broken.patch: raft/src/a.rs: hunk 1 does not apply"));
        assert!(complaints[1].contains("empty: there is no raft/src"), "{complaints:?}");
        assert!(complaints[2].ends_with("named.patch:1: the file's name says that this is named"));
        assert!(complaints[3].ends_with("some.patch:5: `Mutants:` may say yes, and not \"some\""));
    }
}
