//! Tables that fit the line: 80 columns, or as many as `COLUMNS` says.

use std::env;

use super::output;

const WIDTH_DEFAULT: usize = 80;
const WIDTH_MIN: usize = 40;
/// No column is made narrower than this.
const CELL_MIN: usize = 8;
const GAP: &str = "  ";

/// Columns as wide as their widest cell. Where they do not fit, the widest are cut, and `…` marks the cut.
pub fn print<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>) -> anyhow::Result<()> {
    let lines = fitted(heads, &rows, width());
    let colour = output::coloured();
    let lines = lines.into_iter().enumerate().map(|(number, line)| {
        let line = match colour && number > 0 {
            true => painted(&line),
            false => line,
        };
        format!("{line}\n")
    });
    output::text(&lines.collect::<String>())
}

/// How many columns a line may have.
pub fn width() -> usize {
    let columns = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    columns.unwrap_or(WIDTH_DEFAULT).max(WIDTH_MIN)
}

/// A line as several of at most `width` columns, broken between words where that is possible. What goes on is indented by
/// `indent`.
pub fn wrapped(line: &str, width: usize, indent: usize) -> String {
    let own: String = line.chars().take_while(|c| *c == ' ').collect();
    let (mut lines, mut shown) = (Vec::new(), own.clone());
    let mut chars = own.chars().count();
    let mut empty = true;
    for word in line[own.len()..].split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if !empty && chars + 1 + word.len() > width {
            lines.push(std::mem::replace(&mut shown, " ".repeat(indent)));
            (chars, empty) = (indent, true);
        }
        if !empty {
            shown.push(' ');
            chars += 1;
        }
        // A word that fits no line is broken anywhere.
        while chars + word.len() > width {
            let rest = word.split_off(width - chars);
            shown.extend(word);
            lines.push(std::mem::replace(&mut shown, " ".repeat(indent)));
            (word, chars) = (rest, indent);
        }
        chars += word.len();
        shown.extend(word);
        empty = false;
    }
    lines.push(shown);
    lines.join("\n")
}

fn fitted<const N: usize>(heads: [&str; N], rows: &[[String; N]], width: usize) -> Vec<String> {
    let rows = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| one_line(cell)));
    let rows: Vec<[String; N]> = std::iter::once(heads.map(str::to_owned))
        .chain(rows)
        .collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let mut widths: Vec<usize> = (0..N).filter_map(widest).collect();
    narrow(&mut widths, width.saturating_sub(GAP.len() * (N - 1)));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, &width)| cut(cell, width)).collect();
        cells.join(GAP).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Takes from the widest columns until all fit.
fn narrow(widths: &mut [usize], total: usize) {
    while widths.iter().sum::<usize>() > total {
        match widths.iter_mut().max() {
            Some(widest) if *widest > CELL_MIN => *widest -= 1,
            _ => return,
        }
    }
}

/// As long as `width`, with blanks or cut.
fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return format!("{cell:width$}");
    }
    let kept: String = cell.chars().take(width - 1).collect();
    format!("{kept}…")
}

/// A cell as one line that steers no terminal.
fn one_line(cell: &str) -> String {
    output::harmless(cell).replace(['\n', '\t'], " ")
}

/// The states in a line in colour.
fn painted(line: &str) -> String {
    const COLOURS: [(&str, &str); 5] = [
        ("RUNNING", "32"),
        ("FAILED", "31"),
        ("STOPPED", "33"),
        ("running", "32"),
        ("failed", "31"),
    ];
    let state = |&(word, _): &(&str, &str)| line.split(' ').any(|it| it == word);
    match COLOURS.iter().find(|it| state(it)) {
        Some((word, code)) => line.replacen(word, &format!("\u{1b}[{code}m{word}\u{1b}[0m"), 1),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rows: &[[&str; 2]], width: usize) -> Vec<String> {
        let rows: Vec<_> = rows.iter().map(|row| row.map(str::to_owned)).collect();
        fitted(["ID", "NAME"], &rows, width)
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            lines(&[["1", "größer"], ["22", "x"]], 80),
            ["ID  NAME", "1   größer", "22  x"]
        );
    }

    #[test]
    fn the_widest_cells_are_cut() {
        let long = "x".repeat(200);
        for line in lines(&[[&long, "short"], ["1", &long]], 80) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let shown = lines(&[["12345678", &long]], 40);
        assert_eq!(shown[1], format!("12345678  {}…", "x".repeat(29)));
    }

    #[test]
    fn a_long_line_goes_on_below() {
        let check = |line: &str, expected: &str| assert_eq!(wrapped(line, 10, 4), expected);
        check("", "");
        check("  ab cd", "  ab cd");
        check("  ab cd efg", "  ab cd\n    efg");
        check("  ab  cd ef gh ij", "  ab  cd\n    ef gh\n    ij");
        check("äöüäöüäöüäöüäöü", "äöüäöüäöüä\n    öüäöü");
        check(
            "ab äöüäöüäöüäöüäöüx",
            "ab\n    äöüäöü\n    äöüäöü\n    äöüx",
        );
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(lines(&[["a\nb", "\u{1b}[31m"]], 80)[1], "a b  \u{fffd}[31m");
    }
}
