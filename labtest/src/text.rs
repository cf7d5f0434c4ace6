//! How reports show commands, counts and times.

use std::time::Duration;

/// A command as a reader knows it: `` `100` ``; long ones are cut, bytes that are no text are escaped.
pub fn show(command: &[u8]) -> String {
    const SHOWN: usize = 24;
    let head = command[..command.len().min(SHOWN)].escape_ascii();
    if command.len() > SHOWN { format!("`{head}...` ({} bytes)", command.len()) } else { format!("`{head}`") }
}

/// A text, cut after 64 characters.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// "1 server", "2 servers".
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// "server 2", "servers 0, 1 and 4", "no server".
pub fn servers(servers: &[usize]) -> String {
    match servers {
        [] => "no server".to_string(),
        [one] => format!("server {one}"),
        [init @ .., last] => {
            let init: Vec<String> = init.iter().map(usize::to_string).collect();
            format!("servers {} and {last}", init.join(", "))
        }
    }
}

/// 9120 as "9,120".
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds since the start of a run: "1.204 s".
pub fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_text_and_cut_when_long() {
        assert_eq!(show(b"100"), "`100`");
        assert_eq!(show(b"a\xff"), r"`a\xff`");
        assert_eq!(show(&[b'x'; 5000]), "`xxxxxxxxxxxxxxxxxxxxxxxx...` (5000 bytes)");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!((shorten("ä"), shorten(&"ä".repeat(64))), ("ä".to_string(), "ä".repeat(64)));
        assert_eq!(shorten(&"ä".repeat(65)), "ä".repeat(64) + "...");
    }

    #[test]
    fn numbers_and_lists_read_as_english() {
        assert_eq!(
            [thousands(0), thousands(999), thousands(1000), thousands(1234567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([count(1, "server"), count(2, "server")], ["1 server", "2 servers"]);
        assert_eq!(
            [servers(&[]), servers(&[2]), servers(&[0, 1, 4])],
            ["no server", "server 2", "servers 0, 1 and 4"]
        );
        assert_eq!(seconds(Duration::from_micros(1_204_499)), "1.204 s");
    }
}
