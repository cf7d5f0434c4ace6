//! Jepsen's EDN histories of register operations: maps, one after the other or in a vector or list,
//!
//! ```text
//! {:process 0, :type :invoke, :f :write, :value 3, :index 0}
//! ```
//!
//! of which `:process`, `:type`, `:f` and `:value` matter. Where all values are pairs `[key value]`, as Jepsen's
//! independent tests have them, each key has a register of its own. Events whose process is no number (the nemesis)
//! become marks. An operation that failed did not take place, as Jepsen defines it, so it is left out; that can
//! only make a verdict more lenient.

use super::events::{Event, EventType, Events, Value};
use super::{Parsed, ReadError};

pub(super) fn parse(text: &str) -> Result<Parsed, ReadError> {
    let mut reader = Reader { chars: text.chars().collect(), at: 0, line: 1, column: 1, depth: 0 };
    let mut events = Events::new(false);
    while let Some(form) = reader.form()? {
        match form.datum {
            Datum::Sequence(forms) => forms.iter().try_for_each(|form| add(&mut events, form))?,
            _ => add(&mut events, &form)?,
        }
    }
    Ok(events.finish())
}

fn add(events: &mut Events, form: &Form) -> Result<(), ReadError> {
    let fail = |form: &Form, message: String| Err(ReadError::new(form.line, form.column, message));
    let Datum::Map(pairs) = &form.datum else { return fail(form, "an event is a map".into()) };
    let get = |name: &str| {
        let key = |form: &Form| matches!(&form.datum, Datum::Keyword(k) if k == name);
        pairs.iter().find(|(k, _)| key(k)).map(|(_, value)| value)
    };
    let need = |name: &str| {
        get(name).ok_or_else(|| ReadError::new(form.line, form.column, format!("an event has a :{name}")))
    };
    let keyword = |form: &Form| match &form.datum {
        Datum::Keyword(name) | Datum::Text(name) => Ok(name.clone()),
        _ => Err(ReadError::new(form.line, form.column, "expected a keyword")),
    };
    let process = need("process")?;
    let f = need("f")?;
    let process = match process.datum {
        Datum::Integer(n) if n >= 0 => n as u64,
        Datum::Integer(_) => return fail(process, "a process is not negative".into()),
        _ => {
            events.mark(format!("{}: {}", keyword(process)?, keyword(f)?));
            return Ok(());
        }
    };
    let kind_form = need("type")?;
    let Some(kind) = EventType::named(&keyword(kind_form)?) else {
        return fail(kind_form, "expected :invoke, :ok, :fail or :info".into());
    };
    let f = keyword(f)?;
    let said = get("value").map_or(&Datum::Nil, |value| &value.datum);
    let (key, value) = match said {
        // The value of a cas without a key is a pair too, of two values.
        Datum::Sequence(pair) => match &pair[..] {
            [key, value] if f != "cas" || matches!(value.datum, Datum::Sequence(_)) => {
                (Some(name(key)?), value_of(&value.datum))
            }
            _ => (None, value_of(said)),
        },
        _ => (None, value_of(said)),
    };
    events.add(&Event { line: form.line, column: form.column, process, kind, f, key, value })
}

/// A key as reports are to name it.
fn name(key: &Form) -> Result<String, ReadError> {
    match &key.datum {
        Datum::Integer(n) => Ok(n.to_string()),
        Datum::Keyword(name) => Ok(format!(":{name}")),
        Datum::Text(text) => Ok(format!("{text:?}")),
        _ => Err(ReadError::new(key.line, key.column, "a key is a number, a keyword or a string")),
    }
}

fn value_of(datum: &Datum) -> Value {
    match datum {
        Datum::Sequence(pair) => match &pair[..] {
            [a, b] => match (one(&a.datum), one(&b.datum)) {
                (Some(a), Some(b)) => Value::Pair(a, b),
                _ => Value::Other,
            },
            _ => Value::Other,
        },
        _ => one(datum).map_or(Value::Other, Value::One),
    }
}

fn one(datum: &Datum) -> Option<Option<i64>> {
    match datum {
        Datum::Nil => Some(None),
        Datum::Integer(n) => Some(Some(*n)),
        _ => None,
    }
}

/// A datum and where it starts.
#[derive(Debug)]
struct Form {
    line: usize,
    column: usize,
    datum: Datum,
}

#[derive(Debug)]
enum Datum {
    Nil,
    Integer(i64),
    /// Without its colon.
    Keyword(String),
    /// A string.
    Text(String),
    /// A symbol, a character, a number that is no 64-bit integer.
    Word,
    /// A vector, a list, a set.
    Sequence(Vec<Form>),
    Map(Vec<(Form, Form)>),
}

/// Forms may be nested so deep; histories nest three deep, and the reader is recursive.
const MAX_DEPTH: usize = 64;

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    column: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, ReadError> {
        Err(ReadError::new(self.line, self.column, message))
    }

    /// The next form, or `None` at the end of the text.
    fn form(&mut self) -> Result<Option<Form>, ReadError> {
        loop {
            while self.peek().is_some_and(|c| c.is_whitespace() || c == ',') {
                self.take();
            }
            let (line, column) = (self.line, self.column);
            let Some(c) = self.peek() else { return Ok(None) };
            let datum = match c {
                ';' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.take();
                    }
                    continue;
                }
                '#' => {
                    self.take();
                    match self.peek() {
                        Some('{') => {
                            self.take();
                            Datum::Sequence(self.until('}')?)
                        }
                        // #_ leaves the next form out, a tag says how to read it.
                        Some('_') => {
                            self.take();
                            self.nested(Self::expect_form)?;
                            continue;
                        }
                        _ => {
                            self.word();
                            self.nested(Self::expect_form)?.datum
                        }
                    }
                }
                '[' => {
                    self.take();
                    Datum::Sequence(self.until(']')?)
                }
                '(' => {
                    self.take();
                    Datum::Sequence(self.until(')')?)
                }
                '{' => {
                    self.take();
                    let forms = self.until('}')?;
                    if forms.len() % 2 == 1 {
                        return Err(ReadError::new(line, column, "a map has a value for each key"));
                    }
                    let mut forms = forms.into_iter();
                    Datum::Map(std::iter::from_fn(|| forms.next().zip(forms.next())).collect())
                }
                '"' => Datum::Text(self.string()?),
                '\\' => {
                    self.take();
                    self.take();
                    self.word();
                    Datum::Word
                }
                ']' | ')' | '}' => return self.error(format!("{c:?} closes nothing")),
                _ => {
                    let word = self.word();
                    if let Some(keyword) = word.strip_prefix(':') {
                        Datum::Keyword(keyword.to_string())
                    } else if word == "nil" {
                        Datum::Nil
                    } else {
                        word.parse().map_or(Datum::Word, Datum::Integer)
                    }
                }
            };
            return Ok(Some(Form { line, column, datum }));
        }
    }

    fn expect_form(&mut self) -> Result<Form, ReadError> {
        match self.form()? {
            Some(form) => Ok(form),
            None => self.error("the file ends where something was expected"),
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ReadError>) -> Result<T, ReadError> {
        if self.depth == MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Forms up to a closing bracket.
    fn until(&mut self, close: char) -> Result<Vec<Form>, ReadError> {
        let (line, column) = (self.line, self.column - 1);
        self.nested(|reader| {
            let mut forms = Vec::new();
            loop {
                while reader.peek().is_some_and(|c| c.is_whitespace() || c == ',') {
                    reader.take();
                }
                if reader.peek() == Some(close) {
                    reader.take();
                    return Ok(forms);
                }
                // A comment before the bracket is no form.
                if reader.peek() == Some(';') {
                    while reader.peek().is_some_and(|c| c != '\n') {
                        reader.take();
                    }
                    continue;
                }
                match reader.form()? {
                    Some(form) => forms.push(form),
                    None => return Err(ReadError::new(line, column, format!("not closed by {close:?}"))),
                }
            }
        })
    }

    fn string(&mut self) -> Result<String, ReadError> {
        let (line, column) = (self.line, self.column);
        self.take();
        let mut text = String::new();
        loop {
            match self.take() {
                Some('"') => return Ok(text),
                Some('\\') => text.extend(self.take()),
                Some(c) => text.push(c),
                None => return Err(ReadError::new(line, column, "the string does not end")),
            }
        }
    }

    /// Characters up to the next that cannot be part of a word.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| !c.is_whitespace() && !",()[]{}\";".contains(*c)) {
            word.push(c);
            self.take();
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use crate::history::History;
    use crate::models::{CasInput, CasOutput};

    use super::*;

    const HISTORY: &str = r##"
; a register
{:process 0, :type :invoke, :f :write, :value 3, :index 0, :time 1.5e3}
#jepsen.history.Op{:process :nemesis :type :info :f :start-partition :value {:grudge #{"a" \b}}}
{:process 1, :type :invoke, :f :cas, :value [3 4]} {:process 0, :type :ok, :f :write, :value 3}
#_ {:ignored true}
{:process 1, :type :fail, :f :cas, :value [3 4], :error "not now"}
{:process 2, :type :invoke, :f :read, :value nil}
{:process 2, :type :info, :f :read, :value :timed-out}
{:process 3, :type :invoke, :f :read}
{:process 3, :type :ok, :f :read, :value 3 ; comment
}"##;

    #[test]
    fn maps_in_a_row_and_maps_in_a_vector_are_read() {
        for text in [HISTORY.to_string(), format!("[{HISTORY}\n]"), format!("({HISTORY})")] {
            let h = register(&text);
            let got: Vec<_> = h.operations().iter().map(|op| (op.input, op.output().copied())).collect();
            assert_eq!(
                got,
                [
                    (CasInput::Write(Some(3)), Some(CasOutput::Done)),
                    (CasInput::Read, None),
                    (CasInput::Read, Some(CasOutput::Value(Some(3)))),
                ],
                "{text}"
            );
            assert_eq!(h.marks()[0].text, "nemesis: start-partition");
        }
    }

    fn register(text: &str) -> History<CasInput, CasOutput> {
        let Ok(Parsed::Register(history)) = parse(text) else { panic!("it is about one register: {text}") };
        history
    }

    #[test]
    fn each_key_has_a_register() {
        let text = r#"
{:process 0, :type :invoke, :f :write, :value [5 3]}
{:process 1, :type :invoke, :f :cas, :value [:x [3 4]]}
{:process 0, :type :ok, :f :write, :value [5 3]}
{:process 1, :type :info, :f :cas, :value [:x [3 4]], :error :timeout}
{:process 0, :type :invoke, :f :read, :value ["5" nil]}
{:process 0, :type :ok, :f :read, :value ["5" 7]}
{:process 0, :type :invoke, :f :read, :value [5 nil]}
{:process 0, :type :fail, :f :read, :value :timed-out}
"#;
        let Ok(Parsed::Registers(history)) = parse(text) else { panic!("it has keys") };
        let got: Vec<_> = history
            .operations()
            .iter()
            .map(|op| (op.input.key.as_str(), op.input.input, op.output().copied()))
            .collect();
        assert_eq!(
            got,
            [
                ("5", CasInput::Write(Some(3)), Some(CasOutput::Done)),
                (":x", CasInput::Cas(Some(3), Some(4)), None),
                ("\"5\"", CasInput::Read, Some(CasOutput::Value(Some(7)))),
            ]
        );
    }

    #[test]
    fn keys_are_named_by_all_or_none_and_do_not_change() {
        let at = |text: &str| {
            let e = parse(text).unwrap_err();
            (e.line, e.column, e.message)
        };
        let write = "{:process 0 :type :invoke :f :write :value [1 2]}\n";
        let mixed = at(&format!("{write}{{:process 1 :type :invoke :f :write :value 2}}"));
        assert_eq!((mixed.0, mixed.1), (2, 1));
        assert!(mixed.2.contains("name a key"), "{}", mixed.2);
        let other = at(&format!("{write}{{:process 0 :type :ok :f :write :value [3 2]}}"));
        assert_eq!((other.0, other.2.contains("another key")), (2, true), "{}", other.2);
        let none = at(&format!("{write}{{:process 0 :type :ok :f :write :value 2}}"));
        assert!(none.2.contains("another key"), "{}", none.2);
        assert_eq!(at("{:process 0 :type :invoke :f :read :value [[1] 2]}").1, 44);
    }

    #[test]
    fn mistakes_are_located() {
        let at = |text: &str| {
            let e = parse(text).unwrap_err();
            (e.line, e.column)
        };
        assert_eq!(at("{:process 0\n :type :invoke :f}"), (1, 1));
        assert_eq!(at("\n  [{:process 0"), (2, 4));
        assert_eq!(at("}"), (1, 1));
        assert_eq!(at("{:process 0 :type :invoke}"), (1, 1));
        assert_eq!(at("{:process 0 :type :begin :f :read}"), (1, 19));
        assert_eq!(at("{:process -1 :type :invoke :f :read}"), (1, 11));
        assert_eq!(at("[3]"), (1, 2));
        assert_eq!(at("{:process 0 :type :ok :f :read :value 1}"), (1, 1));
        assert_eq!(at("{:process 0 :type :invoke :f :cas :value [1]}"), (1, 1));
        assert_eq!(at("{:f \"abc"), (1, 5));
        assert_eq!(at("#_"), (1, 3));
        assert_eq!(at(&"[".repeat(100_000)).0, 1);
        assert_eq!(at(&"#_".repeat(100_000)).0, 1);
    }
}
