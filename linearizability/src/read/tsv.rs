//! Tab-separated key/value histories: one operation a line, `#` starts a comment.
//!
//! ```text
//! client  call  ret  op  key  arg  out
//! ```
//!
//! `call` and `ret` are integers on one scale, `ret` -1 for an operation that never returned; `op` is `get`,
//! `put` or `append`; `arg` is what was written, `out` what was read, otherwise empty (then the last tab may be
//! missing). In keys and values `\t`, `\n`, `\r` and `\\` stand for tab, line feed, carriage return and
//! backslash. A line `#! at text` is a mark on the time axis.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use crate::history::{History, Mark, Operation, Returned};
use crate::models::KvInput;
use crate::text::{Pooled, Text, TextPool};

use super::ReadError;

const COLUMNS: [&str; 7] = ["client", "call", "ret", "op", "key", "arg", "out"];

pub(super) fn parse(text: &str) -> Result<History<KvInput, Text>, ReadError> {
    let mut operations: Vec<Operation<KvInput, Pooled>> = Vec::new();
    let mut marks = Vec::new();
    let mut pool = TextPool::default();
    let mut keys: HashMap<String, Text> = HashMap::new();
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
        if let Some(mark) = line.strip_prefix("#!") {
            let (at, text) = mark.trim().split_once([' ', '\t']).unwrap_or((mark.trim(), ""));
            let Ok(at) = at.parse() else {
                return Err(ReadError::new(number, 3, format!("a mark starts with its time, not {at:?}")));
            };
            marks.push(Mark { at, text: text.to_string() });
            continue;
        }
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        // The column of each field, in characters.
        let column = |field: usize| fields[..field].iter().map(|f| f.chars().count() + 1).sum::<usize>() + 1;
        let fail = |field: usize, message: String| Err(ReadError::new(number, column(field), message));
        if !(6..=7).contains(&fields.len()) {
            // Where the missing ones should be, or where the surplus begins.
            let column = if fields.len() < 6 { line.chars().count() + 1 } else { column(7) };
            let message =
                format!("{} tab-separated fields, expected 7: {}", fields.len(), COLUMNS.join(", "));
            return Err(ReadError::new(number, column, message));
        }
        let integer = |field: usize| {
            fields[field].parse::<i64>().map_err(|_| {
                let message = format!("{} is an integer, not {:?}", COLUMNS[field], fields[field]);
                ReadError::new(number, column(field), message)
            })
        };
        let (client, call, ret) = (integer(0)?, integer(1)?, integer(2)?);
        let unescaped = |field: usize| {
            unescape(fields.get(field).unwrap_or(&"")).map_err(|at| {
                let message = "a backslash is followed by t, n, r or another backslash";
                ReadError::new(number, column(field) + at, message)
            })
        };
        let Ok(client) = u64::try_from(client) else {
            return fail(0, format!("client is negative: {client}"));
        };
        let Ok(call) = u64::try_from(call) else { return fail(1, format!("call is negative: {call}")) };
        let (key, arg, out) = (unescaped(4)?, unescaped(5)?, unescaped(6)?);
        let shared_key = match keys.get(&*key) {
            Some(shared) => shared.clone(),
            None => keys.entry(key.to_string()).or_insert_with(|| Text::from(&*key)).clone(),
        };
        let input = match fields[3] {
            "get" if !arg.is_empty() => return fail(5, "a get has no argument".into()),
            "get" => KvInput::Get { key: shared_key },
            "put" => KvInput::Put { key: shared_key, value: (&*arg).into() },
            "append" => KvInput::Append { key: shared_key, value: (&*arg).into() },
            other => return fail(3, format!("op is get, put or append, not {other:?}")),
        };
        let returned = match u64::try_from(ret) {
            Ok(at) if at < call => return fail(2, format!("returned at {at}, before its call at {call}")),
            Ok(at) => Some(Returned { at, output: pool.add(&key, &out) }),
            Err(_) if ret == -1 && out.is_empty() => None,
            Err(_) if ret == -1 => return fail(6, "an operation that never returned has no output".into()),
            Err(_) => return fail(2, format!("ret is -1 or not negative, not {ret}")),
        };
        operations.push(Operation { client, call, input, returned, note: format!("line {number}") });
    }
    let texts = pool.finish();
    let history = History::with_marks(operations, marks)
        .map_err(|e| ReadError::new(text.lines().count().max(1), 1, e.to_string()))?;
    Ok(history.map(|input| input, |output| texts.get(output)))
}

/// The text with its escapes resolved, or where (in characters) a wrong one is.
fn unescape(text: &str) -> Result<Cow<'_, str>, usize> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().enumerate();
    while let Some((at, c)) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some((_, 't')) => '\t',
            Some((_, 'n')) => '\n',
            Some((_, 'r')) => '\r',
            Some((_, '\\')) => '\\',
            _ => return Err(at),
        });
    }
    Ok(Cow::Owned(out))
}

fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '\t', '\n', '\r']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r"))
}

/// A key/value history in the tab-separated format, so that a failing test can leave it for a closer look.
///
/// ```
/// use linearizability::models::KvInput;
/// use linearizability::read::{Parsed, parse, write_tsv};
/// use linearizability::{History, Operation};
///
/// let history = History::new(vec![Operation::new(1, 2, KvInput::put("k", "a\tb"), 3, "".into())])?;
/// let text = write_tsv(&history);
/// assert!(text.ends_with("1\t2\t3\tput\tk\ta\\tb\t\n"));
/// let Ok(Parsed::Kv(again)) = parse(text.as_bytes()) else { panic!("it reads what it writes") };
/// assert_eq!(again.operations()[0].input, history.operations()[0].input);
/// # Ok::<(), linearizability::MalformedHistory>(())
/// ```
pub fn write_tsv(history: &History<KvInput, Text>) -> String {
    let mut out = format!("# {}\n", COLUMNS.join("\t"));
    for mark in history.marks() {
        let _ = writeln!(out, "#! {} {}", mark.at, mark.text.replace(['\n', '\r'], " "));
    }
    for op in history.operations() {
        let (name, key, arg) = match &op.input {
            KvInput::Get { key } => ("get", key, ""),
            KvInput::Put { key, value } => ("put", key, value.as_str()),
            KvInput::Append { key, value } => ("append", key, value.as_str()),
        };
        let (ret, output) = match &op.returned {
            Some(r) => (r.at.to_string(), r.output.as_str()),
            None => ("-1".into(), ""),
        };
        let (key, arg, output) = (escape(key), escape(arg), escape(output));
        let _ = writeln!(out, "{}\t{}\t{ret}\t{name}\t{key}\t{arg}\t{output}", op.client, op.call);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read() {
        let h = parse("# header\n#! 3 server 1 crashed\n4\t1\t5\tappend\tk\ta;\t\n2\t2\t6\tget\tk\t\ta;\n2\t7\t-1\tget\tk\t\n")
            .unwrap();
        assert_eq!(h.marks(), [Mark { at: 3, text: "server 1 crashed".into() }]);
        let ops = h.operations();
        assert_eq!((ops[0].client, ops[0].call, &ops[0].input), (4, 1, &KvInput::append("k", "a;")));
        assert_eq!(ops[1].returned, Some(Returned { at: 6, output: "a;".into() }));
        assert_eq!(ops[2].returned, None);
        assert_eq!(ops[2].note, "line 5");
    }

    #[test]
    fn mistakes_are_located() {
        let at = |line: &str| {
            let e = parse(&format!("# x\n{line}\n")).unwrap_err();
            assert_eq!(e.line, 2);
            (e.column, e.message)
        };
        assert_eq!(at("0\t1\t2\tput\tk").0, 12);
        assert_eq!(at("0\t1\t2\tput\tk\tv\t\tz").0, 16);
        assert_eq!(at("x\t1\t2\tput\tk\tv\t").0, 1);
        assert_eq!(at("-1\t1\t2\tput\tk\tv\t").0, 1);
        assert_eq!(at("0\t1.5\t2\tput\tk\tv\t").0, 3);
        assert_eq!(at("0\t9\t2\tput\tk\tv\t"), (5, "returned at 2, before its call at 9".into()));
        assert_eq!(at("0\t9\t-2\tput\tk\tv\t").0, 5);
        assert_eq!(at("0\t1\t2\tdelete\tk\tv\t"), (7, "op is get, put or append, not \"delete\"".into()));
        assert_eq!(at("0\t1\t2\tput\tkä\\x\tv\t").0, 13);
        assert_eq!(at("0\t1\t2\tget\tk\tv\t").0, 13);
        assert_eq!(at("0\t1\t-1\tget\tk\t\tv").0, 15);
        assert_eq!(at("#! soon crash").0, 3);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let ops = vec![
            Operation::new(1, 2, KvInput::put("a\\b", "x\ty\r\n"), 3, "".into()),
            Operation::new(2, 4, KvInput::get("a\\b"), 5, "x\ty\r\n".into()),
            Operation::pending(3, 6, KvInput::append("a\\b", "\\t")),
        ];
        let marks = vec![Mark { at: 5, text: "two\nlines".into() }];
        let history = History::with_marks(ops, marks).unwrap();
        let again = parse(&write_tsv(&history)).unwrap();
        for (a, b) in history.operations().iter().zip(again.operations()) {
            assert_eq!((a.client, a.call, &a.input, &a.returned), (b.client, b.call, &b.input, &b.returned));
        }
        assert_eq!(again.marks(), [Mark { at: 5, text: "two lines".into() }]);
    }
}
