//! Looks for what a submission may not hold, token by token, as the compiler reads it.
//!
//! Most of it the compiler refuses by itself, as the labs' crates forbid unsafe code, and the jails hold the rest. This
//! check comes first all the same: it says in plain words what is wrong and where, before anything is compiled. Because
//! it looks at tokens, comments and strings may say what they like, and a macro cannot hide a word that it holds. It
//! errs on the strict side where that costs a student a renamed variable, and says so.

use std::fmt;

use proc_macro2::{Delimiter, Ident, LineColumn, Literal, TokenStream, TokenTree};

use crate::tree::Tree;

/// Something that may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    at: LineColumn,
    what: String,
    why: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, at, what, why } = self;
        write!(f, "{file}:{}:{}: `{what}`: {why}", at.line, at.column + 1)
    }
}

const UNSAFE: &str =
    "the labs are written in safe Rust; there is no unsafe code, and no call into C, in a submission";
const SYMBOL: &str =
    "a submission must not define symbols for the linker; if this is a name of yours, choose another";
const INCLUDE: &str =
    "a submission must not read files into itself; if this is a name of yours, choose another";
const ENVIRONMENT: &str = "a submission must not read the grader's environment while it is compiled";
const PATH: &str = "a module lies where its name says; move the file instead of naming a path";
/// The most findings that are told.
const FINDINGS_MAX: usize = 20;

/// Words that no submission needs, wherever they stand.
const WORDS: [(&str, &str); 15] = [
    ("unsafe", UNSAFE),
    ("global_asm", UNSAFE),
    ("naked_asm", UNSAFE),
    ("no_mangle", SYMBOL),
    ("export_name", SYMBOL),
    ("link_section", SYMBOL),
    ("link_name", SYMBOL),
    ("global_allocator", SYMBOL),
    ("panic_handler", SYMBOL),
    ("no_main", SYMBOL),
    ("include_str", INCLUDE),
    ("include_bytes", INCLUDE),
    ("option_env", ENVIRONMENT),
    ("CARGO_MANIFEST_DIR", ENVIRONMENT),
    ("RUSTC_BOOTSTRAP", ENVIRONMENT),
];

/// Words that are harmless but before `!` or `as`, by which they might get another name.
const MACROS: [(&str, &str); 3] = [("include", INCLUDE), ("env", ENVIRONMENT), ("asm", UNSAFE)];

/// Everything that the files may not hold, in order; an error if one of them is no Rust.
pub(crate) fn check(files: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, bytes) in &files.files {
        let text = String::from_utf8_lossy(bytes);
        let mut look = Look { file, within: None, findings: &mut findings };
        match text.parse::<TokenStream>() {
            Ok(tokens) => look.at(tokens),
            Err(error) => {
                let why = "from here on the file cannot be read as Rust";
                let what = text.lines().nth(error.span().start().line.max(1) - 1).unwrap_or_default().trim();
                let what = what.chars().take(60).collect();
                look.findings.push(Finding { file: file.clone(), at: error.span().start(), what, why });
            }
        }
        if findings.len() >= FINDINGS_MAX {
            findings.truncate(FINDINGS_MAX);
            break;
        }
    }
    findings
}

struct Look<'a> {
    file: &'a str,
    /// Where the string stands whose contents are looked at.
    within: Option<LineColumn>,
    findings: &'a mut Vec<Finding>,
}

impl Look<'_> {
    /// Looks at a stream and all groups in it, without recursion: a submission chooses how deep they are nested.
    fn at(&mut self, tokens: TokenStream) {
        let mut waiting = vec![tokens];
        while let Some(tokens) = waiting.pop() {
            let tokens: Vec<_> = tokens.into_iter().collect();
            for (place, token) in tokens.iter().enumerate() {
                let next = tokens.get(place + 1);
                match token {
                    TokenTree::Ident(word) => self.at_word(word, next, tokens.get(place + 2)),
                    TokenTree::Group(group) => {
                        let before = place.checked_sub(1).map(|before| &tokens[before]);
                        let attribute = is_punct(before, '#') || is_punct(before, '!');
                        if attribute && group.delimiter() == Delimiter::Bracket {
                            self.at_attribute(group.stream());
                        }
                        waiting.push(group.stream());
                    }
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
        }
    }

    fn at_word(&mut self, word: &Ident, next: Option<&TokenTree>, after: Option<&TokenTree>) {
        let text = word.to_string();
        let known = |words: &[(&'static str, &'static str)]| {
            words.iter().find(|(known, _)| *known == text).map(|(_, why)| *why)
        };
        let renamed = matches!(next, Some(TokenTree::Ident(word)) if word == "as");
        let named_path = text == "path"
            && is_punct(next, '=')
            && matches!(after, Some(TokenTree::Literal(literal)) if string(literal).is_some());
        let why = known(&WORDS)
            .or_else(|| known(&MACROS).filter(|_| is_punct(next, '!') || renamed))
            .or(named_path.then_some(PATH));
        if let Some(why) = why {
            let at = self.within.unwrap_or(word.span().start());
            self.findings.push(Finding { file: self.file.to_owned(), at, what: text, why });
        }
    }

    /// Strings in attributes of serde's may be code.
    fn at_attribute(&mut self, tokens: TokenStream) {
        let mut waiting = vec![tokens];
        let mut of_serde = false;
        while let Some(tokens) = waiting.pop() {
            for token in tokens {
                match token {
                    TokenTree::Ident(word) => of_serde |= word == "serde",
                    TokenTree::Group(group) => waiting.push(group.stream()),
                    TokenTree::Literal(literal) if of_serde && self.within.is_none() => {
                        let code = string(&literal).and_then(|text| text.parse::<TokenStream>().ok());
                        if let Some(code) = code {
                            self.within = Some(literal.span().start());
                            self.at(code);
                            self.within = None;
                        }
                    }
                    TokenTree::Literal(_) | TokenTree::Punct(_) => {}
                }
            }
        }
    }
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// What a string says, without quotes and escapes.
fn string(literal: &Literal) -> Option<String> {
    syn::parse_str::<syn::LitStr>(&literal.to_string()).ok().map(|text| text.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let files = Tree { files: [("raft/src/a.rs".to_owned(), text.as_bytes().into())].into() };
        check(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_may_not_be_there_is_found_wherever_it_hides() {
        for (text, what) in [
            ("fn f() { unsafe { g() } }", "unsafe"),
            ("unsafe extern \"C\" { safe fn _exit(code: i32) -> !; }", "unsafe"),
            ("#[unsafe(no_mangle)] pub extern \"C\" fn nanosleep() {}", "unsafe"),
            ("#[cfg_attr(all(), export_name = \"write\")] fn f() {}", "export_name"),
            ("#[link_section = \".init_array\"] static F: fn() = f;", "link_section"),
            ("core::arch::global_asm!(\"nop\");", "global_asm"),
            ("use core::arch::asm as x;", "asm"),
            ("fn f() { core::arch::asm!(\"nop\") }", "asm"),
            ("const T: &str = include_str!(\"../../tests/hidden.rs\");", "include_str"),
            ("use std::include_bytes as bytes;", "include_bytes"),
            ("include!(\"/etc/passwd\");", "include"),
            ("use std::{include as x, env};", "include"),
            ("const S: &str = env!(\"SECRET\");", "env"),
            ("const S: Option<&str> = option_env!(\"SECRET\");", "option_env"),
            ("#[path = \"../../tests/suite.rs\"] mod x;", "path"),
            ("#[cfg_attr(all(), path = r#\"/x.rs\"#)] mod x;", "path"),
            ("macro_rules! m { ($a:tt) => { { { unsafe { $a } } } } }", "unsafe"),
            ("#[serde(bound = \"[(); { include_str!(\\\"/x\\\"); 0 }]:\")] struct S;", "include_str"),
            ("#[serde(bound = \"\\x75nsafe\")] struct S;", "unsafe"),
            ("#[serde(with = \"r#unsafe_code\", bound = \"unsafe\")] struct S;", "unsafe"),
            ("#[global_allocator] static A: A = A;", "global_allocator"),
        ] {
            let found = findings(text);
            assert!(found.iter().any(|line| line.contains(&format!("`{what}`"))), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_may_be_there_is_left_alone() {
        let text = r##"
            #![forbid(unsafe_code)]
            //! unsafe include_str!("x") in a comment
            /// #[path = "x"], and `unsafe`
            #[derive(Debug, thiserror::Error)]
            #[error("it is unsafe to include {0}")]
            pub struct S(String);
            fn process(path: &str, env: &str) -> String {
                let include = "unsafe { asm!() }";
                let path = path.replace("a", env);
                std::env::var("LAB_LOG").unwrap_or_default();
                if !env.is_empty() && path != "x" { log::info!("unsafe {include}"); }
                r#"include_str!("x")"#.to_owned() + &path
            }
        "##;
        assert_eq!(findings(text), [""; 0]);
    }

    /// Right solutions and what students start from are refused for nothing.
    #[test]
    fn the_courses_own_rooms_hold_nothing_of_the_kind() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for room in ["raft/src", "kvraft/src", "handout/raft/src", "handout/kvraft/src", "handout/examples"] {
            let files = Tree::of_directory(&root.join(room)).unwrap();
            assert!(!files.files.is_empty());
            assert_eq!(check(&files), [], "{room}");
        }
    }

    #[test]
    fn a_finding_says_where() {
        let found = findings("fn f() {\n    unsafe {}\n}\n");
        assert_eq!(found, [format!("raft/src/a.rs:2:5: `unsafe`: {UNSAFE}")]);
        let broken = findings("fn f() {\n    \"no end\n}\n");
        assert!(broken.len() == 1 && broken[0].contains("cannot be read as Rust"), "{broken:?}");
    }

    #[test]
    fn depth_and_number_are_no_trouble() {
        let deep = format!("fn f() {{ {}1{} }}", "(".repeat(50_000), ")".repeat(50_000));
        assert_eq!(findings(&deep), [""; 0]);
        assert_eq!(findings(&"unsafe ".repeat(1000)).len(), FINDINGS_MAX);
    }
}
