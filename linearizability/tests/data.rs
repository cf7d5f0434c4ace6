//! Histories of other checkers' test suites, for whoever has them: `LINEARIZABILITY_DATA` names a folder with
//! `kv/*-ok.tsv`, `kv/*-bad.tsv`, `etcd/*.log` and `etcd/EXPECTED.tsv` (file, `true` or `false`).

use std::path::Path;
use std::time::Instant;

use linearizability::models::{CasRegister, KvStore, PerKey};
use linearizability::read::{Parsed, parse};
use linearizability::{Options, Verdict, check};

#[test]
fn verdicts_of_recorded_histories() {
    let Ok(folder) = std::env::var("LINEARIZABILITY_DATA") else {
        println!("LINEARIZABILITY_DATA is not set; nothing to compare with");
        return;
    };
    let folder = Path::new(&folder);
    let mut expected = Vec::new();
    for entry in std::fs::read_dir(folder.join("kv")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "tsv") {
            expected.push((path.clone(), path.file_stem().unwrap().to_str().unwrap().ends_with("-ok")));
        }
    }
    expected.sort();
    let table = std::fs::read_to_string(folder.join("etcd/EXPECTED.tsv")).unwrap();
    for line in table.lines().skip(1) {
        let mut fields = line.split('\t');
        let path = folder.join("etcd").join(fields.next().unwrap());
        expected.push((path, fields.next().unwrap() == "true"));
    }
    assert!(expected.len() > 6);
    for (path, linearizable) in expected {
        let parsed = parse(&std::fs::read(&path).unwrap()).unwrap();
        let start = Instant::now();
        let verdict = match &parsed {
            Parsed::Kv(history) => check(&KvStore, history, &Options::default()),
            Parsed::Register(history) => check(&CasRegister, history, &Options::default()),
            Parsed::Registers(history) => check(&PerKey(CasRegister), history, &Options::default()),
        };
        let ms = start.elapsed().as_secs_f64() * 1e3;
        println!("{ms:8.2} ms  {}", path.display());
        match verdict {
            Verdict::Unknown(why) => panic!("{}: {why}", path.display()),
            Verdict::Violation(v) => {
                println!(
                    "    {} {}: {} core {:?} minimal {}",
                    v.partition, v.title, v.sentence, v.core, v.core_is_minimal
                );
                assert!(!linearizable, "{}", path.display());
            }
            Verdict::Linearizable(_) => assert!(linearizable, "{}", path.display()),
        }
    }
}
