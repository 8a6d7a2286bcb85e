//! The report: what was asked for, what was measured, and on which machine.

use std::fmt;

/// What `tests/bench/REPORT.md` says.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) rows: Vec<Row>,
}

/// One target.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) target: &'static str,
    pub(crate) measured: Measured,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Measured {
    /// A value that is meant to be small.
    AtMost { bound: f64, value: f64, unit: &'static str },
    /// A value that is meant to be large, and what it is made of.
    AtLeast { bound: f64, value: f64, unit: &'static str, detail: String },
    /// Why nothing was measured.
    Skipped(String),
}

impl Measured {
    fn verdict(&self) -> &'static str {
        let is_met = match self {
            Self::AtMost { bound, value, .. } => value <= bound,
            Self::AtLeast { bound, value, .. } => value >= bound,
            Self::Skipped(_) => return "not measured",
        };
        if is_met { "met" } else { "**missed**" }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost { value, unit, .. } => write!(f, "{value:.2} {unit}"),
            Self::AtLeast { value, unit, detail, .. } => write!(f, "{value:.2} {unit}: {detail}"),
            Self::Skipped(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("# What the benchmarks measured\n\nWritten by `cargo xtask bench`. Medians; ratios are of one run on one machine.\n\n")?;
        for (name, value) in &self.machine {
            writeln!(f, "- {name}: {value}")?;
        }
        f.write_str("\n| What | Target | Measured | |\n|---|---|---|---|\n")?;
        for Row { what, target, measured } in &self.rows {
            writeln!(f, "| {what} | {target} | {measured} | {} |", measured.verdict())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_met_on_the_right_side_of_its_bound() {
        let at_most = |value| Measured::AtMost { bound: 5.0, value, unit: "µs" }.verdict();
        let at_least =
            |value| Measured::AtLeast { bound: 0.5, value, unit: "times", detail: String::new() }.verdict();
        assert_eq!([at_most(4.9), at_most(5.0), at_most(5.1)], ["met", "met", "**missed**"]);
        assert_eq!([at_least(0.4), at_least(0.5), at_least(0.6)], ["**missed**", "met", "met"]);
        assert_eq!(Measured::Skipped(String::new()).verdict(), "not measured");
    }

    #[test]
    fn the_report_is_a_table() {
        let rows = vec![Row {
            what: "Speed".to_owned(),
            target: "at most 5 µs",
            measured: Measured::AtMost { bound: 5.0, value: 4.126, unit: "µs" },
        }];
        let text = Report { machine: vec![("Cores", "2".to_owned())], rows }.to_string();
        assert!(text.contains("\n- Cores: 2\n"), "{text}");
        assert!(text.ends_with("| Speed | at most 5 µs | 4.13 µs | met |\n"), "{text}");
    }
}
