//! What checking costs: CPU, wall time and peak memory over clients, operations, share of pending operations
//! and kind of fault, for the exact key/value method and for general search. One JSON line per case.
//!
//! Every case runs in a process of its own, so that its peak memory is its own. CPU time is that of the
//! checking thread (from Linux's scheduler statistics, which advance in steps of some milliseconds), the mean
//! over as many checks as fill a tenth of a second; the history's making is not counted. A case may be picked
//! by parts of its name: `cargo bench -p linearizability -- register`. With `LINEARIZABILITY_DATA` the files of
//! that folder (see `tests/data.rs`) are measured too.

use std::collections::{BinaryHeap, HashMap};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use linearizability::models::{
    CasInput, CasOutput, CasRegister, KvInput, KvStore, PerKey, Queue, QueueInput,
};
use linearizability::read::{Parsed, parse};
use linearizability::{History, Model, Operation, Options, Returned, Text, TextPool, Verdict, check};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The general search gives up here.
const CONFIGURATIONS: u64 = 1_000_000;

#[derive(Clone, Debug)]
struct Case {
    name: &'static str,
    clients: usize,
    ops: usize,
    pending: f64,
    fault: Fault,
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// One read returns what was there a while ago.
    Stale,
    /// One write is applied twice.
    Twice,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name, clients, ops, pending, fault| {
        cases.push(Case { name, clients, ops, pending, fault, file: None });
    };
    for fault in [Fault::None, Fault::Stale, Fault::Twice] {
        for clients in [3, 5, 10, 20, 50, 100] {
            add("exact", clients, 20_000, 0.0, fault);
        }
        for ops in [200, 2_000, 100_000] {
            add("exact", 20, ops, 0.0, fault);
        }
        for pending in [0.001, 0.01, 0.1] {
            add("exact", 20, 20_000, pending, fault);
        }
        add("exact", 8, 5_000, 0.0, fault);
        add("exact", 12, 1_000, 0.0, fault);
        add("exact", 15, 5_000, 0.0, fault);
        add("exact", 100, 100_000, 0.0, fault);
        add("exact", 100, 100_000, 0.01, fault);
    }
    // The same histories without the exact method.
    for fault in [Fault::None, Fault::Stale] {
        for (clients, ops) in [(3, 2_000), (5, 2_000), (8, 5_000), (12, 1_000), (20, 200)] {
            add("search", clients, ops, 0.0, fault);
        }
        add("search", 5, 2_000, 0.01, fault);
    }
    for fault in [Fault::None, Fault::Stale] {
        for (clients, ops) in [(5, 90), (5, 1_000), (10, 1_000), (5, 10_000)] {
            add("register", clients, ops, 0.0, fault);
            add("register", clients, ops, 0.01, fault);
        }
        add("register", 5, 90, 0.15, fault);
        for (clients, ops) in [(3, 100), (5, 100), (10, 100), (3, 1_000)] {
            add("queue", clients, ops, 0.0, fault);
        }
    }
    cases
}

fn file_cases() -> Vec<Case> {
    let Ok(folder) = std::env::var("LINEARIZABILITY_DATA") else { return Vec::new() };
    let mut files: Vec<PathBuf> = ["kv", "etcd"]
        .iter()
        .flat_map(|sub| std::fs::read_dir(Path::new(&folder).join(sub)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log" || e == "tsv"))
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "EXPECTED"))
        .collect();
    files.sort();
    let case =
        |file| Case { name: "file", clients: 0, ops: 0, pending: 0.0, fault: Fault::None, file: Some(file) };
    files.into_iter().map(case).collect()
}

fn main() {
    // `cargo bench` adds --bench; a child gets its case by number.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let cases: Vec<Case> = cases().into_iter().chain(file_cases()).collect();
    if let [flag, number] = &args[..] {
        if flag == "--case" {
            return run(&cases[number.parse::<usize>().unwrap()]);
        }
    }
    for (number, case) in cases.iter().enumerate() {
        let name = match &case.file {
            Some(file) => format!("file {}", file.display()),
            None => case.name.to_string(),
        };
        if args.is_empty() || args.iter().any(|arg| name.contains(arg.as_str())) {
            let me = std::env::current_exe().unwrap();
            let status = Command::new(me).args(["--case", &number.to_string()]).status().unwrap();
            assert!(status.success(), "{case:?}");
        }
    }
}

fn run(case: &Case) {
    let mut rng = SmallRng::seed_from_u64(case.clients as u64 * 1_000_003 + case.ops as u64);
    match case.name {
        "exact" => measure(case, &KvStore, &kv_history(&mut rng, case)),
        "search" => measure(case, &Searched, &kv_history(&mut rng, case)),
        "register" => measure(case, &CasRegister, &register_history(&mut rng, case)),
        "queue" => measure(case, &Queue, &queue_history(&mut rng, case)),
        _ => match parse(&std::fs::read(case.file.as_ref().unwrap()).unwrap()).unwrap() {
            Parsed::Kv(history) => measure(case, &KvStore, &history),
            Parsed::Register(history) => measure(case, &CasRegister, &history),
            Parsed::Registers(history) => measure(case, &PerKey(CasRegister), &history),
        },
    }
}

fn measure<M: Model>(case: &Case, model: &M, history: &History<M::Input, M::Output>) {
    let options = Options { configurations: CONFIGURATIONS, threads: NonZero::new(1), ..Options::default() };
    let before = memory("VmRSS:");
    let (mut cpu, mut wall, mut checks) = (0.0, 0.0, 0);
    let mut verdict = "";
    let mut core = 0;
    while wall < 100.0 {
        let (start, start_cpu) = (Instant::now(), cpu_ms());
        let result = check(model, history, &options);
        cpu += cpu_ms() - start_cpu;
        wall += start.elapsed().as_secs_f64() * 1e3;
        checks += 1;
        verdict = match &result {
            Verdict::Linearizable(_) => "linearizable",
            Verdict::Violation(violation) => {
                core = violation.core.len();
                "violation"
            }
            Verdict::Unknown(_) => "unknown",
        };
    }
    let file = case
        .file
        .as_ref()
        .map_or(String::new(), |f| format!("\"file\":\"{}\",", f.file_name().unwrap().to_string_lossy()));
    println!(
        "{{\"bench\":\"{}\",{file}\"clients\":{},\"ops\":{},\"pending\":{},\"fault\":\"{:?}\",\"verdict\":\"{verdict}\",\
         \"core\":{core},\"cpu_ms\":{:.3},\"wall_ms\":{:.3},\"history_mb\":{:.1},\"peak_mb\":{:.1}}}",
        case.name,
        case.clients,
        history.len(),
        case.pending,
        case.fault,
        cpu / checks as f64,
        wall / checks as f64,
        before,
        memory("VmHWM:"),
    );
}

/// CPU time of this thread so far.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux's scheduler statistics");
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// A line of this process's memory statistics, in megabytes.
fn memory(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kb = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
    kb.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// The key/value store without its exact method.
struct Searched;

impl Model for Searched {
    type Input = KvInput;
    type Output = Text;
    type State = String;

    fn initial(&self) -> String {
        KvStore.initial()
    }

    fn step(&self, state: String, input: &KvInput, output: Option<&Text>, next: &mut Vec<String>) {
        KvStore.step(state, input, output, next);
    }

    fn is_read(&self, input: &KvInput, output: Option<&Text>) -> bool {
        KvStore.is_read(input, output)
    }

    fn describe(&self, input: &KvInput, output: Option<&Text>) -> String {
        KvStore.describe(input, output)
    }
}

/// One planned operation: who, when it is called, takes effect and returns.
struct Plan {
    client: usize,
    call: f64,
    effect: Option<f64>,
    ret: Option<f64>,
}

/// Clients that issue one operation after the other without a pause; one that gets no answer is replaced.
fn plan(rng: &mut SmallRng, case: &Case) -> Vec<Plan> {
    let exponential = |rng: &mut SmallRng| -(1.0 - rng.random::<f64>()).ln();
    // Nanoseconds, negated: the heap gives the earliest.
    let mut next: BinaryHeap<(i64, usize)> = (0..case.clients).map(|c| (-(c as i64), c)).collect();
    let mut clients = case.clients;
    let mut plans = Vec::with_capacity(case.ops);
    while plans.len() < case.ops {
        let (call, client) = next.pop().unwrap();
        let call = -call as f64;
        let ret = call + 1.0 + exponential(rng) * 1e9;
        if rng.random::<f64>() < case.pending {
            let effect = rng.random::<bool>().then(|| call + exponential(rng) * 5e9);
            plans.push(Plan { client, call, effect, ret: None });
            next.push((-(call + 1e9) as i64, clients));
            clients += 1;
        } else {
            let effect = Some(call + rng.random::<f64>() * (ret - call));
            plans.push(Plan { client, call, effect, ret: Some(ret) });
            next.push((-(ret + 1.0) as i64, client));
        }
    }
    plans
}

/// Runs the plans in the order of their effects.
fn in_order(plans: &[Plan]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..plans.len()).filter(|&i| plans[i].effect.is_some()).collect();
    order.sort_by(|&a, &b| plans[a].effect.unwrap().total_cmp(&plans[b].effect.unwrap()));
    order
}

fn operation<I, O>(plan: &Plan, input: I, output: O) -> Operation<I, O> {
    let mut op = Operation::pending(plan.client as u64, plan.call as u64, input);
    op.returned = plan.ret.map(|at| Returned { at: at as u64, output });
    op
}

/// Half gets, a quarter puts, a quarter appends on one key, each write with a text of its own.
fn kv_history(rng: &mut SmallRng, case: &Case) -> History<KvInput, Text> {
    let plans = plan(rng, case);
    let key = Text::from("k");
    let mut written = HashMap::new();
    let mut inputs: Vec<KvInput> = Vec::new();
    for plan in &plans {
        let mut token = || {
            let count: &mut usize = written.entry(plan.client).or_default();
            *count += 1;
            Text::from(format!("x{}.{count};", plan.client))
        };
        inputs.push(match rng.random_range(0..4) {
            0 => KvInput::Put { key: key.clone(), value: token() },
            1 => KvInput::Append { key: key.clone(), value: token() },
            _ => KvInput::Get { key: key.clone() },
        });
    }
    let mut pool = TextPool::default();
    let mut outputs = vec![None; plans.len()];
    let mut state = String::new();
    let mut past: Vec<String> = Vec::new();
    let mut fault = Some(case.fault);
    let from = plans.len() * 9 / 10;
    let order = in_order(&plans);
    for (step, &i) in order.iter().enumerate() {
        let due = step >= from && plans[i].ret.is_some();
        // A fault that the next effect hides is none.
        let read_next = order
            .get(step + 1)
            .is_some_and(|&next| matches!(inputs[next], KvInput::Get { .. }) && plans[next].ret.is_some());
        match &inputs[i] {
            KvInput::Get { .. } => {
                let mut value = &state;
                if due && fault == Some(Fault::Stale) && past.len() > 3 * case.clients {
                    value = &past[past.len() - 3 * case.clients];
                    fault = None;
                }
                outputs[i] = Some(pool.add("k", value));
                past.push(state.clone());
                if past.len() > 4 * case.clients {
                    past.remove(0);
                }
            }
            KvInput::Put { value, .. } => state = value.to_string(),
            KvInput::Append { value, .. } => match fault {
                Some(Fault::Twice) if due && read_next => {
                    state.push_str(value);
                    state.push_str(value);
                    fault = None;
                }
                _ => state.push_str(value),
            },
        }
    }
    let texts = pool.finish();
    let empty = Text::from("");
    let ops = plans.iter().zip(inputs).zip(outputs).map(|((plan, input), output)| {
        operation(plan, input, output.map_or_else(|| empty.clone(), |value| texts.get(value)))
    });
    History::new(ops.collect()).unwrap()
}

/// A third each of reads, writes and compare-and-sets of five values.
fn register_history(rng: &mut SmallRng, case: &Case) -> History<CasInput, CasOutput> {
    let plans = plan(rng, case);
    let value = |rng: &mut SmallRng| Some(rng.random_range(0..5));
    let inputs: Vec<CasInput> = plans
        .iter()
        .map(|_| match rng.random_range(0..3) {
            0 => CasInput::Read,
            1 => CasInput::Write(value(rng)),
            _ => CasInput::Cas(value(rng), value(rng)),
        })
        .collect();
    let mut outputs = vec![CasOutput::Done; plans.len()];
    let mut state = None;
    let mut past: Vec<Option<i64>> = Vec::new();
    let mut fault = Some(case.fault);
    let from = plans.len() * 9 / 10;
    for (step, i) in in_order(&plans).into_iter().enumerate() {
        let due = step >= from && plans[i].ret.is_some();
        let mut next = Vec::new();
        let answers = [CasOutput::Done, CasOutput::Mismatch, CasOutput::Value(state)];
        outputs[i] = answers
            .into_iter()
            .find(|answer| {
                CasRegister.step(state, &inputs[i], Some(answer), &mut next);
                !next.is_empty()
            })
            .unwrap();
        // A value that has not been there for a while.
        let recent = &past[past.len().saturating_sub(2 * case.clients)..];
        let gone = (0..5).map(Some).find(|value| !recent.contains(value));
        if due && fault == Some(Fault::Stale) && inputs[i] == CasInput::Read && gone.is_some() {
            outputs[i] = CasOutput::Value(gone.flatten());
            fault = None;
        }
        state = next[0];
        past.push(state);
    }
    let ops =
        plans.iter().zip(inputs).zip(outputs).map(|((plan, input), output)| operation(plan, input, output));
    History::new(ops.collect()).unwrap()
}

/// As many enqueues as dequeues, every element once.
fn queue_history(rng: &mut SmallRng, case: &Case) -> History<QueueInput, Option<i64>> {
    let plans = plan(rng, case);
    let inputs: Vec<QueueInput> = (0..plans.len() as i64)
        .map(|i| if rng.random() { QueueInput::Enqueue(i) } else { QueueInput::Dequeue })
        .collect();
    let mut outputs = vec![None; plans.len()];
    let mut queue = std::collections::VecDeque::new();
    let mut fault = Some(case.fault);
    let from = plans.len() * 9 / 10;
    for (step, i) in in_order(&plans).into_iter().enumerate() {
        let due = step >= from && plans[i].ret.is_some();
        match (inputs[i], fault) {
            (QueueInput::Enqueue(element), _) => queue.push_back(element),
            (QueueInput::Dequeue, Some(Fault::Stale)) if due && !queue.is_empty() => {
                outputs[i] = queue.pop_back();
                fault = None;
            }
            (QueueInput::Dequeue, _) => outputs[i] = queue.pop_front(),
        }
    }
    let ops =
        plans.iter().zip(inputs).zip(outputs).map(|((plan, input), output)| operation(plan, input, output));
    History::new(ops.collect()).unwrap()
}
