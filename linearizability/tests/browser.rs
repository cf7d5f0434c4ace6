//! The page in a real browser, for whoever has one: `LINEARIZABILITY_CHROMIUM` names a Chromium, which is
//! started headless.

use std::path::PathBuf;
use std::process::Command;

use linearizability::models::{KvInput, KvStore};
use linearizability::{History, Mark, Operation, Options, check, page};

/// Drives the page's own functions, and leaves what it saw in an attribute of the body.
const PROBE: &str = r#"<script>
const seen = { title: $("title").textContent, verdict: $("verdict").textContent, core: document.querySelectorAll("tr").length,
  folded: rows.length };
$("toall").onclick();
seen.unfolded = rows.length;
const flush = () => view.getContext("2d").getImageData(0, 0, 1, 1);
const times = [];
for (let i = 0; i < 60; i++) {
  const start = performance.now();
  if (i % 2) zoom(i < 30 ? 0.6 : 1.7, END / 3); else setView(x0 + 50, x1 + 50);
  paint(); flush();
  times.push(performance.now() - start);
}
times.sort((a, b) => a - b);
seen.median_ms = times[30];
$("clients").value = "3"; layout();
seen.filtered = rows.length;
document.body.dataset.seen = JSON.stringify(seen);
</script></body>"#;

fn open(name: &str, page: &str) -> Option<String> {
    let chromium = std::env::var("LINEARIZABILITY_CHROMIUM").ok()?;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("page.html");
    std::fs::write(&file, page.replace("</body>", PROBE)).unwrap();
    let out = Command::new(chromium)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8(out.stdout).unwrap();
    let seen = dom
        .split("data-seen=\"")
        .nth(1)
        .expect("the page's script ran to its end")
        .split('"')
        .next()
        .unwrap();
    Some(seen.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

#[test]
fn a_large_history_opens_and_moves_smoothly() {
    let mut ops: Vec<_> = (0..100_000u64)
        .map(|i| {
            Operation::new(i % 100, 20 * i, KvInput::put("k", format!("{i};")), 20 * i + 1500, "".into())
        })
        .collect();
    ops[99_999] = Operation::new(3, 2_100_000, KvInput::get("k"), 2_100_001, "7;".into());
    ops.push(Operation::pending(200, 1_000_000, KvInput::put("k", "never")));
    let marks = vec![Mark { at: 1_000_000, text: "<b>crash</b>".into() }];
    let history = History::with_marks(ops, marks).unwrap();
    let verdict = check(&KvStore, &history, &Options::default());
    assert!(verdict.is_violation());
    let Some(seen) = open("large", &page(&KvStore, &history, &verdict, "<i>large</i>")) else {
        println!("LINEARIZABILITY_CHROMIUM is not set; no page was opened");
        return;
    };
    println!("{seen}");
    assert!(
        seen.contains(
            r#""title":"<i>large</i>","verdict":"Not linearizable: an acknowledged write vanished","core":3,"folded":3"#
        ),
        "{seen}"
    );
    assert!(seen.contains(r#""filtered":1"#), "{seen}");
    let median = seen.split("\"median_ms\":").nth(1).unwrap().split([',', '}']).next().unwrap();
    let median: f64 = median.parse().unwrap();
    // A frame is 16 ms; this leaves room for machines without a graphics card and with other work.
    assert!(median < 100.0, "{median} ms a frame");
}
