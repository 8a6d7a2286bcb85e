//! What criterion measured.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Medians in nanoseconds, by `group/name`.
#[derive(Debug)]
pub(crate) struct Medians(BTreeMap<String, f64>);

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

impl Medians {
    /// Reads criterion's folder of two levels: group and name.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut medians = BTreeMap::new();
        for group in folders(folder)? {
            for name in folders(&folder.join(&group))? {
                let path = folder.join(&group).join(&name).join("new/estimates.json");
                if path.is_file() {
                    let text = std::fs::read_to_string(&path)?;
                    let estimates: Estimates =
                        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
                    medians.insert(format!("{group}/{name}"), estimates.median.point_estimate);
                }
            }
        }
        Ok(Self(medians))
    }

    /// Returns the median of one benchmark.
    ///
    /// # Errors
    /// When it was not run.
    pub(crate) fn of(&self, name: &str) -> Result<f64> {
        self.0.get(name).copied().with_context(|| format!("criterion has no result for {name}"))
    }

    /// Returns the name and the median of a group's slowest benchmark.
    ///
    /// # Errors
    /// When none of the group was run.
    pub(crate) fn slowest_of(&self, group: &str) -> Result<(&str, f64)> {
        let of_group = self
            .0
            .iter()
            .filter_map(|(name, median)| Some((name.strip_prefix(group)?.strip_prefix('/')?, *median)));
        of_group
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .with_context(|| format!("criterion has no result for {group}"))
    }
}

fn folders(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_found_by_group_and_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, median) in [("a/fast", 1.5), ("a/slow", 20.0), ("b/x", 300.0)] {
            let path = folder.path().join(name).join("new");
            std::fs::create_dir_all(&path).unwrap();
            let text = format!("{{\"median\": {{\"point_estimate\": {median:?}}}, \"mean\": {{}}}}");
            std::fs::write(path.join("estimates.json"), text).unwrap();
        }
        let medians = Medians::read(folder.path()).unwrap();
        assert_eq!(medians.slowest_of("a").unwrap(), ("slow", 20.0));
        assert!((medians.of("b/x").unwrap() - 300.0).abs() < f64::EPSILON, "the median, not the mean");
        assert!(medians.of("b/y").is_err(), "what was not run has no median");
    }
}
