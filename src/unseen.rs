//! Characters that nobody sees, and that change how what stands around them is shown.

/// Whether a character breaks a line, steers a terminal or turns the direction of what is written: control characters,
/// the separators of lines and paragraphs, and the marks of bidirectional text.
pub fn steers(c: char) -> bool {
    let unseen = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || unseen
}

/// What is shown in the place of such a character in a log; a tab stays.
pub fn dotted(c: char) -> char {
    if steers(c) && c != '\t' { '·' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_told_from_what_is_read() {
        for c in "\0\n\r\u{1b}\u{85}\u{9b}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}".chars() {
            assert!(steers(c), "{c:?}");
        }
        // A joiner is part of how words are written.
        for c in "aß×·…–\u{200d}\u{2027}漢עא🦀".chars() {
            assert!(!steers(c), "{c:?}");
        }
        assert_eq!(
            "a\tb\u{202e}c".chars().map(dotted).collect::<String>(),
            "a\tb·c"
        );
    }
}
