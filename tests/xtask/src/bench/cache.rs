//! The report of what the public HTTP cache test suite says about our caches and others.

use anyhow::{Context as _, Result};

use crate::bench::machine;
use crate::command::Cmd;
use crate::workspace::Workspace;

const REPORT: &str = "tests/bench/CACHE.md";

/// Runs the suite on every platform and writes the report.
pub(crate) fn write_report(workspace: &Workspace) -> Result<()> {
    let program = ["run", "--package", "selvedge-conformance", "--bin", "http-cache", "--", "report"];
    anstream::println!("running the suite on every platform");
    let body = Cmd::cargo(workspace, program).read()?;
    let path = workspace.root.join(REPORT);
    std::fs::write(&path, text(&machine::describe(), &body))
        .with_context(|| format!("cannot write {REPORT}"))?;
    anstream::println!("written to {}", path.display());
    Ok(())
}

fn text(machine: &[(&str, String)], body: &str) -> String {
    let machine: String = machine.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    format!(
        "# What the public HTTP cache tests say\n\nWritten by `cargo xtask cache-report`.\n\n{machine}\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn the_machine_stands_before_what_the_suite_says() {
        let text = text(&[("Cores", "2".to_owned()), ("Kernel", "Linux".to_owned())], "The tests are\n");
        let end = "`cargo xtask cache-report`.\n\n- Cores: 2\n- Kernel: Linux\n\nThe tests are\n";
        assert!(text.ends_with(end), "{text}");
    }
}
