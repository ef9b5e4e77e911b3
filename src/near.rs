//! The known name that a mistyped one was meant to be.

/// Longer ones are no typing errors of anything.
const CHARS_MAX: usize = 64;

/// The nearest of the known names, if one is near enough: a third of its letters may be wrong.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.chars().take(CHARS_MAX + 1).collect();
    if given.len() > CHARS_MAX {
        return None;
    }
    let near = known.into_iter().filter_map(|name| {
        let name_chars: Vec<char> = name.chars().collect();
        let allowed = (name_chars.len().max(given.len()) / 3).max(1);
        let steps = distance(&given, &name_chars);
        (steps <= allowed && steps < name_chars.len()).then_some((steps, name))
    });
    near.min_by_key(|(steps, _)| *steps).map(|(_, name)| name)
}

/// How many letters must be put in, left out or exchanged; two neighbours that changed places count once.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let mut steps = (last[column + 1] + 1)
                .min(next[column] + 1)
                .min(last[column] + usize::from(a != b));
            if row > 0 && column > 0 && *a == to[column - 1] && from[row - 1] == *b {
                steps = steps.min(before[column - 1] + 1);
            }
            next.push(steps);
        }
        before = std::mem::replace(&mut last, next);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found_and_what_is_far_is_not() {
        let check = |given: &str, expected: Option<&str>| {
            let known = ["list", "status", "start", "--node", "--name"];
            assert_eq!(nearest(given, known), expected, "{given:?}");
        };
        check("lst", Some("list"));
        check("lsit", Some("list"));
        check("stauts", Some("status"));
        check("strat", Some("start"));
        check("--nod", Some("--node"));
        check("--nmae", Some("--name"));
        check("deploy", None);
        check("x", None);
        check("", None);
        check(&"l".repeat(100_000), None);
    }
}
