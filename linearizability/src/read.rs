//! Reading histories from files.
//!
//! | format | recognised by | model |
//! |---|---|---|
//! | tab-separated (see [`write_tsv`]) | anything else | [`KvStore`](crate::models::KvStore) |
//! | Jepsen EDN | starts with `{`, `[`, `(`, or with `#` before a brace, a tag or `_` | [`CasRegister`](crate::models::CasRegister); with keys, one [each](crate::models::PerKey) |
//! | Jepsen log lines | a line containing `jepsen.util` | [`CasRegister`](crate::models::CasRegister) |

use thiserror::Error;

use crate::history::History;
use crate::models::{CasInput, CasOutput, Keyed, KvInput};
use crate::text::Text;

mod edn;
mod events;
mod log;
mod tsv;

pub use tsv::write_tsv;

/// A history as read, with the model it is about.
#[derive(Debug)]
pub enum Parsed {
    /// Operations on a key/value store.
    Kv(History<KvInput, Text>),
    /// Operations on one compare-and-set register.
    Register(History<CasInput, CasOutput>),
    /// Operations on several of them, each under its key.
    Registers(History<Keyed<CasInput>, CasOutput>),
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ReadError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What was expected, and what is there.
    pub message: String,
}

impl ReadError {
    fn new(line: usize, column: usize, message: impl Into<String>) -> Self {
        ReadError { line, column, message: message.into() }
    }
}

/// Reads a history in any of the formats, which it recognises by the first line that is neither empty nor
/// a comment.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let good = String::from_utf8_lossy(&bytes[..e.valid_up_to()]).into_owned();
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        ReadError::new(line, column, "not UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().map(str::trim).find(|line| !(line.is_empty() || is_comment(line))).unwrap_or("");
    if first.starts_with(['{', '[', '(', '#']) {
        edn::parse(text)
    } else if first.contains("jepsen.util") {
        log::parse(text)
    } else {
        tsv::parse(text).map(Parsed::Kv)
    }
}

/// `#` followed by a space or nothing starts a comment of a TSV file, `;` one of EDN.
fn is_comment(line: &str) -> bool {
    line.starts_with(';') || line.strip_prefix('#').is_some_and(|rest| !rest.starts_with(['{', 'j', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_recognised() {
        let kv = parse(b"# a comment\n0\t1\t2\tput\tk\tv\t\n").unwrap();
        assert!(matches!(kv, Parsed::Kv(h) if h.len() == 1));
        let log = parse(b"INFO  jepsen.util - 0\t:invoke\t:read\tnil\n").unwrap();
        assert!(matches!(log, Parsed::Register(h) if h.len() == 1));
        let edn = parse(b"; comment\n{:process 0 :type :invoke :f :read :value nil}").unwrap();
        assert!(matches!(edn, Parsed::Register(h) if h.len() == 1));
        assert!(matches!(parse(b"").unwrap(), Parsed::Kv(h) if h.is_empty()));
    }

    #[test]
    fn bytes_that_are_no_text_are_located() {
        let err = parse(b"0\t1\t2\tput\tk\tv\t\nab\xff").unwrap_err();
        assert_eq!((err.line, err.column), (2, 3));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // Every file of the fixtures, cut off and damaged everywhere.
        let files: [&[u8]; 4] = [
            b"0\t1\t4\tput\tk\tv\\n\t\n1\t2\t-1\tget\tk\t\t\n",
            b"INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 0\t:ok\t:cas\t[1 2]\n",
            b"{:process 0 :type :invoke :f :cas :value [:k [1 2]]} {:process 0 :type :ok :f :cas :value [:k [1 2]]}",
            b"[{:process 0, :type :invoke, :f :write, :value 1}\n #_x {:process 0, :type :ok, :f :write, :value 1}]",
        ];
        for file in files {
            for at in 0..file.len() {
                let _ = parse(&file[..at]);
                for byte in [0, b'\t', b'\n', b'{', b']', b'"', b'9', b':', b'#', 0xff] {
                    let mut damaged = file.to_vec();
                    damaged[at] = byte;
                    let _ = parse(&damaged);
                }
            }
        }
    }
}
