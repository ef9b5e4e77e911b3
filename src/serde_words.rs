//! What serde says is wrong with a text, in the words of the text's format instead of Rust's.

/// The message with each of `words` said as the format has it, and any struct as what the format has in its place, such
/// as `a table`.
pub fn spoken(message: &str, words: &[(&str, &str)], object: &str) -> String {
    let mut text = message.to_owned();
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
