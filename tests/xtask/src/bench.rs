//! The benchmarks.

use anyhow::Result;

use crate::command::Cmd;
use crate::workspace::Workspace;

/// Runs the criterion benchmarks; `args` go to them.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let mut bench = Cmd::cargo(workspace, ["bench", "--package", "selvedge-bench"]);
    if !args.is_empty() {
        bench = bench.arg("--").args(args);
    }
    bench.run()
}
