//! `Cargo.lock` without some packages of the workspace, and what nobody else needs: cargo with `--locked` takes nothing else.

use std::collections::{BTreeMap, BTreeSet};

/// The text without `left_out`, packages of the workspace that nobody depends on any more, and without what only they need. The
/// rest is left as it is.
/// The error says what is not understood.
pub(super) fn without(lock: &str, left_out: &[&str]) -> Result<String, String> {
    let mut blocks = lock.split("[[package]]\n");
    let head = blocks.next().unwrap_or_default();
    let packages = blocks.map(Package::read).collect::<Result<Vec<_>, _>>()?;
    let by_name = packages.iter().enumerate().fold(BTreeMap::new(), |mut map, (place, package)| {
        map.entry(package.name).or_insert_with(Vec::new).push(place);
        map
    });
    let mut needed = BTreeSet::new();
    let mut waiting: Vec<usize> = (0..packages.len())
        .filter(|place| packages[*place].is_ours && !left_out.contains(&packages[*place].name))
        .collect();
    while let Some(place) = waiting.pop() {
        if !needed.insert(place) {
            continue;
        }
        for (name, version) in packages[place].needs.iter().filter(|(name, _)| !left_out.contains(name)) {
            let named = by_name.get(name).ok_or_else(|| format!("there is no package {name}"))?;
            waiting.extend(
                named.iter().filter(|place| version.is_none_or(|it| packages[**place].version == it)),
            );
        }
    }
    let without_it = |text: String, package: &&str| text.replace(&format!(" \"{package}\",\n"), "");
    let text = |package: &Package<'_>| left_out.iter().fold(package.text.to_owned(), without_it);
    let kept = needed.iter().map(|place| format!("[[package]]\n{}", text(&packages[*place])));
    Ok(format!("{head}{}\n", kept.collect::<String>().trim_end()))
}

struct Package<'a> {
    text: &'a str,
    name: &'a str,
    version: &'a str,
    /// It comes from nowhere else.
    is_ours: bool,
    /// Names, and versions where the name is not enough.
    needs: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Package<'a> {
    fn read(text: &'a str) -> Result<Package<'a>, String> {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            line.and_then(|rest| rest.strip_suffix('"'))
        };
        let name = value("name").ok_or_else(|| format!("a package has no name: {text}"))?;
        let version = value("version").ok_or_else(|| format!("package {name} has no version"))?;
        let needs = text.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
        let needs = needs.map(|need| {
            let mut words = need.split(' ');
            (words.next().unwrap_or_default(), words.next())
        });
        Ok(Package { text, name, version, is_ours: value("source").is_none(), needs: needs.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, source: bool, needs: &[&str]) -> String {
        let source = if source { "source = \"registry\"\nchecksum = \"00\"\n" } else { "" };
        let needs: String = needs.iter().map(|need| format!(" \"{need}\",\n")).collect();
        let needs = if needs.is_empty() { needs } else { format!("dependencies = [\n{needs}]\n") };
        format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{source}{needs}\n")
    }

    #[test]
    fn what_nobody_else_needs_goes_too() {
        let head = "# by cargo\nversion = 4\n\n";
        let [shared, old, new, below] = [("shared", "1"), ("twice", "1"), ("twice", "2"), ("below", "1")]
            .map(|(name, version)| {
                package(name, version, true, if version == "2" { &["below"] } else { &[] })
            });
        let kept = package("kept", "0", false, &["shared", "twice 1"]);
        let gone = package("gone", "0", false, &["kept", "shared", "twice 2"]);
        let all = format!("{head}{below}{gone}{kept}{shared}{old}{new}").trim_end().to_owned() + "\n";
        let left = format!("{head}{kept}{shared}{old}").trim_end().to_owned() + "\n";
        assert_eq!(without(&all, &["gone"]), Ok(left));
        assert_eq!(without(&all, &[]), Ok(all));
    }

    #[test]
    fn nobody_depends_on_what_is_left_out() {
        let [kept, gone] = [("kept", &["gone", "other"][..]), ("gone", &[])]
            .map(|(name, needs)| package(name, "0", false, needs));
        let other = package("other", "1", true, &[]);
        let left = package("kept", "0", false, &["other"]);
        let [all, left] = [format!("{gone}{kept}{other}"), format!("{left}{other}")]
            .map(|packages| format!("# by cargo\n\n{}\n", packages.trim_end()));
        assert_eq!(without(&all, &["gone"]), Ok(left));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(without("[[package]]\nversion = \"1\"\n", &[]).unwrap_err().contains("no name"));
        let dangling = package("a", "1", false, &["nowhere"]);
        assert!(without(&dangling, &[]).unwrap_err().contains("no package nowhere"));
    }
}
