//! Strings that share their memory.
//!
//! The reads of one run return the same growing value again and again. Kept as strings of their own, a few
//! thousand reads of a few tens of kilobytes fill hundreds of megabytes. A [`Text`] is a prefix of a shared
//! string; a [`TextPool`] finds the string to share while values arrive.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// An immutable string, cheap to clone: a prefix of a string that others may share.
#[derive(Clone)]
pub struct Text {
    whole: Arc<str>,
    // invariant: a character boundary of `whole`
    len: usize,
}

impl Text {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.whole[..self.len]
    }

    /// The text for people: quoted, the middle left out when it is longer than about `limit` characters.
    ///
    /// ```
    /// use linearizability::Text;
    /// assert_eq!(Text::from("abc").abridged(20), "\"abc\"");
    /// assert_eq!(Text::from("abcdefghijklmnopqrstuvwxyz").abridged(10), "\"abcd..xyz\" (26 bytes)");
    /// ```
    pub fn abridged(&self, limit: usize) -> String {
        let text = self.as_str();
        if text.len() <= limit {
            return format!("{text:?}");
        }
        let head = floor_boundary(text, limit.div_ceil(2).saturating_sub(1));
        let tail = ceil_boundary(text, text.len() - limit.saturating_sub(4) / 2);
        let (head, tail) = (format!("{:?}", &text[..head]), format!("{:?}", &text[tail..]));
        format!("{}..{} ({} bytes)", &head[..head.len() - 1], &tail[1..], text.len())
    }
}

/// The last character boundary at or before `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// The first character boundary at or after `at`.
fn ceil_boundary(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len())
}

/// The number of bytes two strings have in common from their start, at a character boundary of both.
pub(crate) fn common_prefix(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    floor_boundary(a, same)
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text { whole: text.into(), len: text.len() }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text { len: text.len(), whole: text.into() }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && (Arc::ptr_eq(&self.whole, &other.whole) || self.as_str() == other.as_str())
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

/// A value handed to a [`TextPool`]: a prefix of one of its strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooled {
    string: usize,
    len: usize,
}

/// Finds shared memory for values that mostly extend, or repeat, recent values of the same group.
///
/// ```
/// use linearizability::TextPool;
/// let mut pool = TextPool::default();
/// let (ab, a) = (pool.add("k", "ab"), pool.add("k", "a"));
/// let texts = pool.finish();
/// assert_eq!((&*texts.get(ab), &*texts.get(a)), ("ab", "a"));
/// ```
#[derive(Debug, Default)]
pub struct TextPool {
    strings: Vec<String>,
    /// By group: the strings used last, most recent last.
    recent: HashMap<String, Vec<usize>>,
}

/// The strings of a [`TextPool`] that takes no more values.
#[derive(Debug)]
pub struct Texts(Vec<Arc<str>>);

impl TextPool {
    /// How many recent strings of a group a new value is compared with: more than one, for a slow reader
    /// still returns the value before the last put.
    const RECENT: usize = 4;

    /// Takes a value in. Costs a comparison with the few strings of its group that were used last.
    pub fn add(&mut self, group: &str, value: &str) -> Pooled {
        if !self.recent.contains_key(group) {
            self.recent.insert(group.to_owned(), Vec::new());
        }
        let recent = self.recent.get_mut(group).expect("just inserted");
        // An empty string would be extended by anything.
        let shared = recent.iter().rposition(|&s| {
            let string = &self.strings[s];
            value.starts_with(string.as_str()) || string.starts_with(value)
        });
        let string = match shared {
            Some(at) => recent.remove(at),
            None => {
                self.strings.push(String::new());
                self.strings.len() - 1
            }
        };
        recent.push(string);
        if recent.len() > Self::RECENT {
            recent.remove(0);
        }
        let whole = &mut self.strings[string];
        if value.len() > whole.len() {
            whole.push_str(&value[whole.len()..]);
        }
        Pooled { string, len: value.len() }
    }

    /// Ends the taking in, so that values can be given out.
    pub fn finish(self) -> Texts {
        Texts(self.strings.into_iter().map(Arc::from).collect())
    }
}

impl Texts {
    /// The text of a value that the pool behind these strings took in.
    pub fn get(&self, value: Pooled) -> Text {
        Text { whole: self.0[value.string].clone(), len: value.len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_values_share_one_string() {
        let mut pool = TextPool::default();
        let mut value = String::new();
        let mut handles = Vec::new();
        for i in 0..1000 {
            value.push_str(&format!("x{i};"));
            handles.push((value.clone(), pool.add("k", &value)));
        }
        handles.push(("x0;".into(), pool.add("k", "x0;")));
        handles.push(("x0;y".into(), pool.add("k", "x0;y")));
        handles.push((String::new(), pool.add("k", "")));
        let texts = pool.finish();
        assert_eq!(texts.0.len(), 2, "one for the chain, one for the value that left it");
        for (expected, handle) in handles {
            assert_eq!(texts.get(handle).as_str(), expected);
        }
    }

    #[test]
    fn groups_are_kept_apart_and_recent_strings_are_few() {
        let mut pool = TextPool::default();
        let all: Vec<(String, Pooled)> = (0..20)
            .map(|i| {
                let value = format!("{i}-");
                let handle = pool.add(if i % 2 == 0 { "even" } else { "odd" }, &value);
                (value, handle)
            })
            .collect();
        assert!(pool.recent.values().all(|r| r.len() <= TextPool::RECENT));
        let texts = pool.finish();
        assert!(all.iter().all(|(value, handle)| texts.get(*handle).as_str() == value));
    }

    #[test]
    fn abridging_respects_characters() {
        let text = Text::from("äöüäöüäöüäöüäöü".to_string());
        for limit in 0..30 {
            let short = text.abridged(limit);
            assert!(short.ends_with("(30 bytes)"), "{short}");
        }
        assert_eq!(common_prefix("aä", "aö"), 1, "they share a byte of the umlaut, which is no character");
    }
}
