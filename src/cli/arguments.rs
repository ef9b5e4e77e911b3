//! Arguments as people are used to writing them, in the form that argh reads: `--flag=value`, `-h`, and `-` for standard
//! input.

/// Up to a `--`, behind which everything is left as it is.
pub fn usual(arguments: &[&str]) -> Vec<String> {
    let end = arguments.iter().position(|it| *it == "--");
    let (flags, rest) = arguments.split_at(end.unwrap_or(arguments.len()));
    let flags = flags.iter().flat_map(|argument| match *argument {
        "-h" => vec!["--help".to_owned()],
        "-" => vec!["@-".to_owned()],
        argument => match argument.split_once('=') {
            Some((flag, value)) if is_flag(flag) => vec![flag.to_owned(), value.to_owned()],
            _ => vec![argument.to_owned()],
        },
    });
    flags
        .chain(rest.iter().map(|it| (*it).to_owned()))
        .collect()
}

fn is_flag(text: &str) -> bool {
    let name = text.strip_prefix("--").unwrap_or_default();
    !name.is_empty() && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_understood() {
        let check = |given: &str, expected: &str| {
            let given: Vec<&str> = given.split(' ').collect();
            assert_eq!(usual(&given).join(" "), expected);
        };
        check("list --node=edge:8000", "list --node edge:8000");
        check("deploy --name=a=b -h", "deploy --name a=b --help");
        check("invoke a -", "invoke a @-");
        check("invoke a x=1 --x", "invoke a x=1 --x");
        check("invoke a -- --x=1 -h -", "invoke a -- --x=1 -h -");
    }
}
