//! What serde says is wrong with a text, in the words of the text's format instead of Rust's.

/// Digits of a number that are echoed; the rest is `...`.
const DIGITS_MAX: usize = 40;

/// A text in which no number is echoed that has more digits than any that would fit.
pub fn shortened(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut digits = 0;
    for c in text.chars() {
        let in_number = c.is_ascii_digit() || (digits > 0 && c == '.');
        digits = if in_number { digits + 1 } else { 0 };
        match digits {
            0..=DIGITS_MAX => shown.push(c),
            _ if digits == DIGITS_MAX + 1 => shown.push_str("..."),
            _ => {}
        }
    }
    shown
}

/// The message with each of `words` said as the format has it, and any struct as what the format has in its place, such
/// as `a table`.
pub fn spoken(message: &str, words: &[(&str, &str)], object: &str) -> String {
    let mut text = shortened(message);
    for (serde, format) in words {
        text = text.replace(serde, format);
    }
    match text.split_once("expected struct ") {
        Some((before, name)) => {
            let rest = name.trim_start_matches(|it: char| it.is_ascii_alphanumeric());
            format!("{before}expected {object}{rest}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_nobody_reads_is_cut() {
        let check = |text: &str, expected: &str| assert_eq!(shortened(text), expected);
        check("line 7: 1.5 of 10", "line 7: 1.5 of 10");
        let forty = "1".repeat(40);
        check(&format!("`{forty}`, x"), &format!("`{forty}`, x"));
        check(&format!("`{forty}0`, x"), &format!("`{forty}...`, x"));
        check(
            &format!("-1{}.0 y", "0".repeat(308)),
            &format!("-1{}... y", "0".repeat(39)),
        );
    }
}
