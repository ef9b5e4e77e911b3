//! Which line of a guest's last words says what went wrong, by the way each language writes them.

/// What Python writes above a traceback.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// What componentize-py writes below one.
const THREW: &str = "Python function threw an unexpected exception";

/// The line for whoever asked: a Python exception, a Rust or a Go panic. None where no language's way is seen.
pub fn headline(words: &str) -> Option<String> {
    let lines: Vec<&str> = words.lines().collect();
    python(&lines)
        .or_else(|| rust(&lines))
        .or_else(|| go(&lines))
}

/// Below the last traceback, the first line that is not indented: `ValueError: no such thing`. Of a traceback so long
/// that its beginning is lost, the line below the last indented one.
fn python(lines: &[&str]) -> Option<String> {
    let indented = |line: &&str| line.starts_with(' ');
    let above = match lines.iter().rposition(|line| *line == TRACEBACK) {
        Some(traceback) => traceback,
        None if lines.contains(&THREW) => lines.iter().rposition(indented)?,
        None => return None,
    };
    let below = lines[above + 1..].iter();
    let mut said = below.filter(|line| !line.is_empty() && !indented(line));
    said.next().map(|line| (*line).to_owned())
}

/// `thread 'main' (1) panicked at src/lib.rs:7:5:`, and the message on the next line.
fn rust(lines: &[&str]) -> Option<String> {
    let says_where = |line: &&str| {
        line.starts_with("thread '") && line.contains(" panicked at ") && line.ends_with(':')
    };
    let first = lines.iter().position(says_where)?;
    let (_, place) = lines[first].split_once(" panicked at ")?;
    let message = lines.get(first + 1)?;
    Some(format!("panicked at {place} {message}"))
}

/// `panic: no such thing`, or what the runtime itself cannot go on with.
fn go(lines: &[&str]) -> Option<String> {
    let begins = |line: &&&str| line.starts_with("panic: ") || line.starts_with("fatal error: ");
    lines.iter().find(begins).map(|line| (*line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, expected: Option<&str>) {
        assert_eq!(headline(words).as_deref(), expected, "{words:?}");
    }

    #[test]
    fn a_python_exception_is_found_below_its_last_traceback() {
        let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\n";
        let runtime = "\nthread '<unnamed>' (1) panicked at runtime/src/lib.rs:1293:29:\nPython function threw\n";
        check(
            &format!("{trace}ValueError: no\n{runtime}"),
            Some("ValueError: no"),
        );
        check(
            &format!("{trace}KeyError: 1\n\nDuring handling of it:\n\n{trace}ValueError: no\n"),
            Some("ValueError: no"),
        );
        check(
            &format!("  g()\n  File \"a.py\", line 1\nRecursionError: no\n\nthread\n{THREW}\n"),
            Some("RecursionError: no"),
        );
        check(&format!("a line before\n{trace}"), None);
    }

    #[test]
    fn a_rust_panic_is_its_place_and_its_message() {
        check(
            "\nthread 'main' (1) panicked at src/lib.rs:7:5:\nno such thing\nnote: run with more\n",
            Some("panicked at src/lib.rs:7:5: no such thing"),
        );
        check("thread 'main' panicked at src/lib.rs:7:5:", None);
    }

    #[test]
    fn a_go_panic_is_its_first_line() {
        check(
            "panic: no such thing\n\ngoroutine 1 [running]:\nmain.f()\n",
            Some("panic: no such thing"),
        );
        check(
            "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1:\n",
            Some("fatal error: all goroutines are asleep - deadlock!"),
        );
    }

    #[test]
    fn other_words_have_no_headline() {
        check("", None);
        check("going down\n", None);
        check("don't panic: it is only a log line\n", None);
    }
}
