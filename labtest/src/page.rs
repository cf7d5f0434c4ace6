//! The timeline page: one file that shows an event log in a browser and asks no network for anything.
//!
//! The page is built from `labtest/page/src` (`make page`), and what was built is checked in, so that writing one takes
//! nothing but Cargo. Here the log is put into it: deflated, in base64, so that nothing in it can end the element
//! which it stands in, whatever the code under test logged.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use miniz_oxide::deflate::compress_to_vec_zlib;

const TEMPLATE: &str = include_str!("../page/dist/page.html");

/// Logs consist of lines that are much alike: more effort than this makes the page hardly smaller.
const EFFORT: u8 = 4;

/// The page for an event log (`docs/event-log.md`); `title` is what the browser's tab says.
pub fn timeline_page(title: &str, log: &str) -> String {
    let (head, rest) = TEMPLATE.split_once("{{title}}").expect("the page has a place for its title");
    let (middle, tail) = rest.split_once("{{data}}").expect("the page has a place for the log");
    let packed = compress_to_vec_zlib(log.as_bytes(), EFFORT);
    let mut page = String::with_capacity(TEMPLATE.len() + title.len() + packed.len() / 3 * 4 + 64);
    page.push_str(head);
    for c in title.chars() {
        match c {
            '<' => page.push_str("&lt;"),
            '&' => page.push_str("&amp;"),
            c => page.push(c),
        }
    }
    page.push_str(middle);
    BASE64_STANDARD.encode_string(&packed, &mut page);
    page.push_str(tail);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_log_becomes_markup() {
        let evil = "</script><script>alert(1)</script><!-- {{data}} {{title}} &lt;";
        let (page, plain) = (timeline_page(evil, evil), timeline_page("", ""));
        for mark in ["<script", "</script", "<!--", "alert(1)</"] {
            assert_eq!(page.matches(mark).count(), plain.matches(mark).count(), "{mark}");
        }
        assert!(page.contains("&lt;/script>"), "the title is escaped");
    }

    /// What is checked in was built for this: it lets its own script run and nothing else, and names no other file.
    #[test]
    fn the_page_asks_nobody() {
        let policy = TEMPLATE.split_once("Content-Security-Policy\" content=\"").unwrap().1;
        let policy = policy.split_once('"').unwrap().0;
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for word in ["http:", "https:", " src=", "@import", "url(", "innerHTML", "eval("] {
            assert!(!TEMPLATE.contains(word), "{word}");
        }
    }
}
