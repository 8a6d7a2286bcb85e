//! The benchmarks, and the report of what they measured.

pub(crate) mod cache;
mod cache_speed;
mod cores;
mod criterion;
mod edge;
mod failure;
mod lambda;
mod lambda_edge;
mod load;
mod machine;
mod nginx;
mod report;
mod spin;
mod workerd;

use std::path::PathBuf;

use anyhow::Result;

use crate::bench::criterion::Medians;
use crate::bench::edge::Edge;
use crate::bench::report::{Chapter, Measured, Report, Row};
use crate::command::Cmd;
use crate::workspace::Workspace;

const MICROSECOND: f64 = 1_000.0;
const MILLISECOND: f64 = 1_000_000.0;

/// Runs every benchmark and writes the report; with `args`, only the criterion benchmarks
/// that they name, or `workerd` for what is measured on that, or `cache`, `failure`, `lambda`, `lambda-edge` or `spin` for that part
/// of the report.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    match args {
        [] => whole(workspace),
        [only] if only == "workerd" => {
            build(workspace)?;
            let (rows, section) = workerd::measure(workspace)?;
            let report = Report { machine: machine::describe(), rows, section, chapters: Vec::new() };
            anstream::println!("\n{report}");
            Ok(())
        }
        [only] if only == "cache" => write_chapter(workspace, cache_speed::measure),
        [only] if only == "failure" => write_chapter(workspace, failure::measure),
        [only] if only == "lambda" => write_chapter_of_program(workspace, lambda::measure),
        [only] if only == "lambda-edge" => write_chapter_of_program(workspace, lambda_edge::measure),
        [only] if only == "spin" => write_chapter_of_program(workspace, spin::measure),
        named => criterion_bench(workspace).arg("--").args(named).run(),
    }
}

/// Builds `selvedge`, and writes a part of the report that is measured with it.
fn write_chapter_of_program(workspace: &Workspace, measure: fn(&Workspace) -> Result<Chapter>) -> Result<()> {
    build(workspace)?;
    write_chapter(workspace, measure)
}

/// Writes one part of the report.
fn write_chapter(workspace: &Workspace, measure: fn(&Workspace) -> Result<Chapter>) -> Result<()> {
    let chapter = measure(workspace)?;
    let path = report_path(workspace);
    std::fs::write(&path, chapter.put_into(&std::fs::read_to_string(&path)?))?;
    anstream::println!("\n{chapter}\nwritten to {}", path.display());
    Ok(())
}

fn whole(workspace: &Workspace) -> Result<()> {
    criterion_bench(workspace).run()?;
    let mut rows = core_rows(&Medians::read(&workspace.target_directory.join("criterion"))?)?;
    build(workspace)?;
    rows.push(memory_row(workspace)?);
    rows.push(nginx_row(workspace)?);
    let (on_workerd, section) = workerd::measure(workspace)?;
    rows.extend(on_workerd);
    let measures: [fn(&Workspace) -> Result<Chapter>; 5] =
        [lambda_edge::measure, lambda::measure, spin::measure, cache_speed::measure, failure::measure];
    let chapters = measures.iter().map(|measure| measure(workspace)).collect::<Result<_>>()?;
    let report = Report { machine: machine::describe(), rows, section, chapters };
    let path = report_path(workspace);
    std::fs::write(&path, report.to_string())?;
    anstream::println!("\n{report}\nwritten to {}", path.display());
    Ok(())
}

fn criterion_bench(workspace: &Workspace) -> Cmd {
    Cmd::cargo(workspace, ["bench", "--package", "selvedge-bench"])
}

fn build(workspace: &Workspace) -> Result<()> {
    Cmd::cargo(workspace, ["build", "--release", "--package", "selvedge"]).run()
}

fn report_path(workspace: &Workspace) -> PathBuf {
    workspace.root.join("tests/bench/REPORT.md")
}

fn core_rows(medians: &Medians) -> Result<Vec<Row>> {
    let (slowest, decision) = medians.slowest_of("storefront")?;
    let (agent, classification) = medians.slowest_of("classify")?;
    let ratio = medians.of("routes/1000")? / medians.of("routes/10")?;
    let compile = medians.of("compile/storefront")?;
    let row = |what: String, target, bound, value, unit| Row {
        what,
        target,
        measured: Measured::AtMost { bound, value, unit },
    };
    Ok(vec![
        row(
            format!(
                "Whole storefront decision with 20 request headers, the slowest of six requests (`{slowest}`)"
            ),
            "at most 5 µs",
            5.0,
            decision / MICROSECOND,
            "µs",
        ),
        row(
            "1,000 routes against 10, the same five kinds of path".to_owned(),
            "at most 1.3 times",
            1.3,
            ratio,
            "times",
        ),
        row(
            format!("Classifying one user agent, the slowest of six (`{agent}`)"),
            "at most 1 µs",
            1.0,
            classification / MICROSECOND,
            "µs",
        ),
        row(
            "Engine from the storefront's text".to_owned(),
            "at most 20 ms",
            20.0,
            compile / MILLISECOND,
            "ms",
        ),
    ])
}

fn memory_row(workspace: &Workspace) -> Result<Row> {
    anstream::println!("memory of `selvedge dev` while it waits");
    let edge = Edge::start(workspace)?;
    let measured = match edge.resident_mebibytes() {
        Some(value) => Measured::AtMost { bound: 60.0, value, unit: "MiB" },
        None => Measured::Skipped("only Linux tells the resident memory in /proc".to_owned()),
    };
    Ok(Row { what: "Resident memory of `selvedge dev`, idle".to_owned(), target: "at most 60 MiB", measured })
}

fn nginx_row(workspace: &Workspace) -> Result<Row> {
    let what = "Requests a second for a cached style sheet, `wrk -t1 -c32`, against nginx with proxy_cache";
    let measured = match nginx::compare(workspace)? {
        nginx::Comparison::Skipped(reason) => Measured::Skipped(reason),
        nginx::Comparison::Rates { edge, nginx, version } => Measured::AtLeast {
            bound: 0.5,
            value: edge / nginx,
            unit: "times",
            detail: format!("{edge:.0} against {nginx:.0} ({version})"),
        },
    };
    Ok(Row { what: what.to_owned(), target: "at least 0.5 times", measured })
}
