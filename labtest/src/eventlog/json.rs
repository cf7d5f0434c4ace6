//! Just as much JSON as one line of the log needs.

use std::fmt::{Display, Write};

/// Writes one object, on a line of its own.
pub(super) struct Object<'a> {
    out: &'a mut String,
    begun: bool,
}

impl<'a> Object<'a> {
    pub(super) fn new(out: &'a mut String) -> Object<'a> {
        out.push('{');
        Object { out, begun: false }
    }

    fn name(&mut self, name: &str) {
        if self.begun {
            self.out.push(',');
        }
        self.begun = true;
        let _ = write!(self.out, "\"{name}\":");
    }

    /// A number, or `true` and `false`.
    pub(super) fn plain(mut self, name: &str, value: impl Display) -> Self {
        self.name(name);
        let _ = write!(self.out, "{value}");
        self
    }

    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(self.out, value);
        self
    }

    /// A string, or `null`.
    pub(super) fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.plain(name, "null"),
        }
    }

    /// An array; `item` writes each of its items.
    pub(super) fn list<T>(
        mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        item: impl Fn(&mut String, T),
    ) -> Self {
        self.name(name);
        array(self.out, items, item);
        self
    }

    pub(super) fn end(self) {
        self.out.push_str("}\n");
    }
}

/// An array; `item` writes each of its items.
pub(super) fn array<T>(out: &mut String, items: impl IntoIterator<Item = T>, item: impl Fn(&mut String, T)) {
    out.push('[');
    for (i, it) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        item(out, it);
    }
    out.push(']');
}

/// A string.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // The last two end a line for those who read JSON as a script.
            '\0'..='\x1f' | '\x7f' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_a_line() {
        let mut out = String::new();
        Object::new(&mut out)
            .text("kind", "x")
            .plain("n", 7)
            .maybe("some", Some("x"))
            .maybe("none", None)
            .list("list", [1, 2], |out, n| out.push_str(&n.to_string()))
            .end();
        assert_eq!(out, "{\"kind\":\"x\",\"n\":7,\"some\":\"x\",\"none\":null,\"list\":[1,2]}\n");
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut out = String::new();
        quote(&mut out, "\"}]\\\n\r\0\u{1b}[31m\u{2028}</script>ä");
        assert_eq!(out, r#""\"}]\\\n\u000d\u0000\u001b[31m\u2028</script>ä""#);
    }
}
