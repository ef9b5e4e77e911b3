//! What a command prints: tables for people, JSON for programs.

use std::io::{self, Write};
use std::str::FromStr;

use serde::Serialize;

/// The form that `--output` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Text,
    Json,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is no form of output; use text or json")),
        }
    }
}

pub fn text(text: &str) -> anyhow::Result<()> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Columns as wide as their widest cell; the last one as it comes.
pub fn table<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>) -> anyhow::Result<()> {
    text(&aligned(heads, &rows))
}

fn aligned<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let all = || std::iter::once(&heads).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).filter_map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    all().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["1", "größer"], ["22", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            aligned(["ID", "NAME"], &rows),
            "ID  NAME\n1   größer\n22  x\n"
        );
    }
}
