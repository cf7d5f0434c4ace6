//! Jepsen's log lines of a register test:
//!
//! ```text
//! INFO  jepsen.util - 3  :invoke  :cas  [1 4]
//! INFO  jepsen.util - 3  :info    :cas  :timed-out
//! ```
//!
//! Lines of other loggers are passed over. `:fail :cas [1 4]` says that the register held something else;
//! `:fail` of anything else says that it did not happen.

use super::events::{Event, EventType, Events, Value};
use super::{Parsed, ReadError};

const LOGGER: &str = "jepsen.util - ";

pub(super) fn parse(text: &str) -> Result<Parsed, ReadError> {
    let mut events = Events::new(true);
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
        let Some(start) = line.find(LOGGER).map(|at| at + LOGGER.len()) else { continue };
        let mut fields = Fields { line, at: start };
        let (at, process) = fields.next();
        let column = |at: usize| line[..at].chars().count() + 1;
        let fail = |at: usize, message: String| Err(ReadError::new(number, column(at), message));
        if process == ":nemesis" {
            events.mark(line[at..].replace('\t', " "));
            continue;
        }
        let Ok(process) = process.parse() else {
            return fail(at, format!("the process is a number, not {process:?}"));
        };
        let (at, kind) = fields.next();
        let Some(kind) = kind.strip_prefix(':').and_then(EventType::named) else {
            return fail(at, format!("expected :invoke, :ok, :fail or :info, not {kind:?}"));
        };
        let (at, f) = fields.next();
        let Some(f) = f.strip_prefix(':') else {
            return fail(at, format!("expected :read, :write or :cas, not {f:?}"));
        };
        let (value_at, value) = fields.rest();
        let Some(value) = parse_value(value) else {
            return fail(value_at, format!("expected nil, a number, a pair or a keyword, not {value:?}"));
        };
        events.add(&Event {
            line: number,
            column: column(at),
            process,
            kind,
            f: f.to_string(),
            key: None,
            value,
        })?;
    }
    Ok(events.finish())
}

struct Fields<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Fields<'a> {
    /// The next word and where it starts.
    fn next(&mut self) -> (usize, &'a str) {
        let (start, rest) = self.rest();
        let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.at = start + len;
        (start, &rest[..len])
    }

    fn rest(&self) -> (usize, &'a str) {
        let rest = self.line[self.at..].trim_start();
        (self.line.len() - rest.len(), rest.trim_end())
    }
}

fn parse_value(text: &str) -> Option<Value> {
    if text.starts_with(':') {
        return Some(Value::Other);
    }
    if let Some(pair) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let mut parts = pair.split_whitespace();
        let pair = Value::Pair(parse_one(parts.next()?)?, parse_one(parts.next()?)?);
        return parts.next().is_none().then_some(pair);
    }
    parse_one(text).map(Value::One)
}

fn parse_one(text: &str) -> Option<Option<i64>> {
    if text == "nil" { Some(None) } else { text.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use crate::models::{CasInput, CasOutput};

    use super::*;

    const LOG: &str = "\
INFO  jepsen.util - 0	:invoke	:write	3
INFO  jepsen.core - something else
INFO  jepsen.util - 1	:invoke	:cas	[3 4]
INFO  jepsen.util - :nemesis	:info	:start	nil
INFO  jepsen.util - 0	:ok	:write	3
INFO  jepsen.util - 2	:invoke	:read	nil
INFO  jepsen.util - 1	:fail	:cas	[3 4]
INFO  jepsen.util - 2	:fail	:read	:timed-out
INFO  jepsen.util - 3	:invoke	:write	5
INFO  jepsen.util - 3	:info	:write	:timed-out
INFO  jepsen.util - 4	:invoke	:read	nil
INFO  jepsen.util - 4	:ok	:read	nil
";

    #[test]
    fn a_log_is_read() {
        let Ok(Parsed::Register(h)) = parse(LOG) else { panic!("it is a register's log") };
        let got: Vec<_> = h.operations().iter().map(|op| (op.input, op.output().copied())).collect();
        assert_eq!(
            got,
            [
                (CasInput::Write(Some(3)), Some(CasOutput::Done)),
                (CasInput::Cas(Some(3), Some(4)), Some(CasOutput::Mismatch)),
                (CasInput::Write(Some(5)), None),
                (CasInput::Read, Some(CasOutput::Value(None))),
            ]
        );
        assert_eq!(h.marks()[0].text, ":nemesis :info :start nil");
    }

    #[test]
    fn mistakes_are_located() {
        let at = |lines: &str| {
            let e = parse(lines).unwrap_err();
            (e.line, e.column)
        };
        assert_eq!(at("INFO  jepsen.util - x\t:invoke\t:read\tnil"), (1, 21));
        assert_eq!(at("\nINFO  jepsen.util - 0\t:invoked\t:read\tnil"), (2, 23));
        assert_eq!(at("INFO  jepsen.util - 0\t:invoke\tread\tnil"), (1, 31));
        assert_eq!(at("INFO  jepsen.util - 0\t:invoke\t:add\t3"), (1, 31));
        assert_eq!(at("INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2 3]"), (1, 36));
        assert_eq!(at("INFO  jepsen.util - 0\t:ok\t:read\t1"), (1, 27));
        assert_eq!(at(&LOG.replace("4\t:ok\t:read", "4\t:ok\t:write")), (12, 27));
        assert_eq!(at(&LOG.replace("3\t:info\t:write", "3\t:invoke\t:write")), (10, 31));
        assert_eq!(at("INFO  jepsen.util - 0"), (1, 22));
    }
}
