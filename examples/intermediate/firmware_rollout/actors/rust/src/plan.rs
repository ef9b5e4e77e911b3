//! What is to be rolled out, as an operator writes it.

/// ```text
/// firmware 2.1.0
/// soak 60000
/// batch gate-1
/// batch gate-2 gate-3
/// ```
pub struct Plan {
    pub firmware: String,
    /// How long a batch proves itself, in milliseconds.
    pub soak_ms: u64,
    pub batches: Vec<Vec<String>>,
}

impl Plan {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut firmware, mut soak_ms, mut batches) = (None, 0, Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "firmware" => firmware = Some(rest.to_owned()),
                "soak" => soak_ms = rest.parse().map_err(|_| "soak is a number of milliseconds")?,
                "batch" => batches.push(rest.split_whitespace().map(str::to_owned).collect()),
                other => return Err(format!("a plan has no {other:?}: firmware, soak and batch are its words")),
            }
        }
        if batches.is_empty() {
            return Err("a plan has at least one batch".to_owned());
        }
        let firmware = firmware.ok_or("a plan names its firmware")?;
        Ok(Self { firmware, soak_ms, batches })
    }
}
