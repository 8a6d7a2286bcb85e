//! Files that are generated from the source and committed.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::command::Cmd;
use crate::runner::Ran;
use crate::workspace::Workspace;

const SCHEMA: &str = "core/edge.schema.json";

/// Compares what is committed with what the source generates.
pub(crate) fn run(workspace: &Workspace) -> Result<Ran> {
    let path = workspace.root.join(SCHEMA);
    if !path.exists() {
        return Ok(Ran::Skipped(format!("there is no {SCHEMA}")));
    }
    let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {SCHEMA}"))?;
    compare(SCHEMA, &committed, &schema(workspace)?)?;
    Ok(Ran::Passed)
}

/// Writes the JSON Schema of the policy file.
pub(crate) fn write_schema(workspace: &Workspace) -> Result<()> {
    let schema = schema(workspace)?;
    fs::write(workspace.root.join(SCHEMA), schema).with_context(|| format!("cannot write {SCHEMA}"))
}

fn schema(workspace: &Workspace) -> Result<String> {
    Cmd::cargo(workspace, ["run", "--quiet", "--package", "selvedge", "--", "schema"]).read()
}

fn compare(name: &str, committed: &str, generated: &str) -> Result<()> {
    let committed = committed.replace("\r\n", "\n");
    if committed == generated {
        return Ok(());
    }
    let same = committed.lines().zip(generated.lines()).take_while(|(a, b)| a == b).count();
    bail!("{name} differs from what the source generates from line {}; run `cargo xtask schema`", same + 1);
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn a_stale_file_is_told_with_its_first_different_line() {
        assert!(compare("a.json", "{\r\n}\r\n", "{\n}\n").is_ok(), "line ends are git's business");
        for (committed, line) in [("{\n 1\n}\n", "line 2"), ("{\n", "line 2"), ("", "line 1")] {
            let error = compare("a.json", committed, "{\n 2\n}\n").expect_err("they differ").to_string();
            assert!(error.contains(line) && error.contains("cargo xtask schema"), "{error}");
        }
    }
}
