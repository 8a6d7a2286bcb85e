//! The report: what was asked for, what was measured, and on which machine.

use std::fmt;

/// What `tests/bench/REPORT.md` says.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) rows: Vec<Row>,
    /// What explains the rows, where something is to be explained.
    pub(crate) section: Option<Section>,
    pub(crate) chapters: Vec<Chapter>,
}

/// What is measured and written by itself too, on a machine and a day of its own.
#[derive(Debug)]
pub(crate) struct Chapter {
    pub(crate) title: &'static str,
    pub(crate) about: String,
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) rows: Vec<Row>,
}

/// Figures below the table, with a title and what they are.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) about: String,
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
    /// A value that is for information and has no target, and what it is made of.
    Told { value: f64, unit: &'static str, detail: String },
    /// Why nothing was measured.
    Skipped(String),
}

impl Measured {
    /// Whether there is a target, and it is not reached.
    pub(crate) fn is_missed(&self) -> bool {
        match self {
            Self::AtMost { bound, value, .. } => value > bound,
            Self::AtLeast { bound, value, .. } => value < bound,
            Self::Told { .. } | Self::Skipped(_) => false,
        }
    }

    fn verdict(&self) -> &'static str {
        match self {
            Self::AtMost { .. } | Self::AtLeast { .. } if self.is_missed() => "**missed**",
            Self::AtMost { .. } | Self::AtLeast { .. } => "met",
            Self::Told { .. } => "no target",
            Self::Skipped(_) => "not measured",
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost { value, unit, .. } => write!(f, "{value:.2} {unit}"),
            Self::Told { value, unit, detail } if detail.is_empty() => write!(f, "{value:.2} {unit}"),
            Self::AtLeast { value, unit, detail, .. } | Self::Told { value, unit, detail } => {
                write!(f, "{value:.2} {unit}: {detail}")
            }
            Self::Skipped(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("# What the benchmarks measured\n\nWritten by `cargo xtask bench`. Medians; ratios are of one run on one machine.\n\n")?;
        write_table(f, &self.machine, &self.rows)?;
        self.section.as_ref().map_or(Ok(()), |section| write!(f, "{section}"))?;
        self.chapters.iter().try_for_each(|chapter| write!(f, "\n{chapter}"))
    }
}

impl fmt::Display for Chapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, about, machine, rows } = self;
        writeln!(f, "{}\n\n{about}\n", heading(title))?;
        write_table(f, machine, rows)
    }
}

impl Chapter {
    /// Puts it into a report in place of the one of its title, or at the end.
    pub(crate) fn put_into(&self, report: &str) -> String {
        let line = format!("{}\n", heading(self.title));
        let (before, rest) = report.split_once(&line).unwrap_or((report, ""));
        let after = rest.find("\n## ").map_or("", |at| &rest[at..]);
        format!("{}\n\n{self}{after}", before.trim_end())
    }
}

fn heading(title: &str) -> String {
    format!("## {title}")
}

fn write_table(f: &mut fmt::Formatter<'_>, machine: &[(&str, String)], rows: &[Row]) -> fmt::Result {
    for (name, value) in machine {
        writeln!(f, "- {name}: {value}")?;
    }
    f.write_str("\n| What | Target | Measured | |\n|---|---|---|---|\n")?;
    for Row { what, target, measured } in rows {
        writeln!(f, "| {what} | {target} | {measured} | {} |", measured.verdict())?;
    }
    Ok(())
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, about, rows } = self;
        writeln!(f, "\n## {title}\n\n{about}\n\n| What | Measured |\n|---|---|")?;
        for Row { what, measured, .. } in rows {
            writeln!(f, "| {what} | {measured} |")?;
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
    fn what_has_no_target_is_never_missed() {
        let told = |detail: &str| Measured::Told { value: 0.5, unit: "times", detail: detail.to_owned() };
        assert_eq!((told("").verdict(), told("").is_missed()), ("no target", false));
        assert_eq!(told("").to_string(), "0.50 times");
        assert_eq!(told("1 against 2").to_string(), "0.50 times: 1 against 2");
        assert!(!Measured::Skipped(String::new()).is_missed());
        assert!(Measured::AtMost { bound: 1.0, value: 2.0, unit: "µs" }.is_missed());
    }

    fn chapter(value: f64) -> Chapter {
        let rows = vec![Row {
            what: "Speed".to_owned(),
            target: "at most 5 µs",
            measured: Measured::AtMost { bound: 5.0, value, unit: "µs" },
        }];
        let machine = vec![("Cores", "2".to_owned())];
        Chapter { title: "Elsewhere", about: "Alone.".to_owned(), machine, rows }
    }

    const CHAPTER: &str = "## Elsewhere\n\nAlone.\n\n- Cores: 2\n\n\
                           | What | Target | Measured | |\n|---|---|---|---|\n| Speed | at most 5 µs | 4.13 µs | met |\n";

    #[test]
    fn the_report_is_a_table_and_a_chapter() {
        let Chapter { machine, rows, .. } = chapter(4.126);
        let text = Report { machine, rows, section: None, chapters: vec![chapter(4.126)] }.to_string();
        assert!(text.contains("\n- Cores: 2\n"), "{text}");
        assert!(text.ends_with(&format!("| Speed | at most 5 µs | 4.13 µs | met |\n\n{CHAPTER}")), "{text}");
    }

    #[test]
    fn a_section_follows_the_table_with_its_own() {
        let measured = Measured::Told { value: 1.5, unit: "µs", detail: String::new() };
        let rows = vec![Row { what: "Reading".to_owned(), target: "-", measured }];
        let section = Section { title: "Where the time goes", about: "Above the rest.".to_owned(), rows };
        let section = Some(section);
        let text = Report { machine: Vec::new(), rows: Vec::new(), section, chapters: vec![chapter(4.126)] }
            .to_string();
        let end = "|---|---|---|---|\n\n## Where the time goes\n\nAbove the rest.\n\n\
                   | What | Measured |\n|---|---|\n| Reading | 1.50 µs |\n\n";
        assert!(text.ends_with(&format!("{end}{CHAPTER}")), "{text}");
    }

    #[test]
    fn a_chapter_takes_the_place_of_the_one_before() {
        for (before, expected) in [
            ("# Report\n", format!("# Report\n\n{CHAPTER}")),
            ("# Report\n\n## Elsewhere\n\nold\n", format!("# Report\n\n{CHAPTER}")),
            (
                "# Report\n\n## Elsewhere too\n\nkept\n",
                format!("# Report\n\n## Elsewhere too\n\nkept\n\n{CHAPTER}"),
            ),
            (
                "# Report\n\n## Elsewhere\n\nold\n\n## Next\n\nkept\n",
                format!("# Report\n\n{CHAPTER}\n## Next\n\nkept\n"),
            ),
        ] {
            let after = chapter(4.126).put_into(before);
            assert_eq!(after, expected);
            assert_eq!(chapter(4.126).put_into(&after), after, "the same again changes nothing");
        }
    }
}
