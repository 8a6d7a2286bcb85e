//! The machine that was measured on.

use std::fs;
use std::thread::available_parallelism;
use std::time::SystemTime;

use crate::command::Cmd;

/// The machine and the date, one fact a line.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
    let cores = available_parallelism().map_or_else(|_| "unknown".to_owned(), |cores| cores.to_string());
    let program = |program: &str, arg: &str| {
        Cmd::new(program).arg(arg).read().map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
    };
    vec![
        ("Date", httpdate::fmt_http_date(SystemTime::now())),
        ("Processor", processor().unwrap_or_else(|| "unknown".to_owned())),
        ("Cores", cores),
        ("Kernel", program("uname", "-sr")),
        ("Compiler", program("rustc", "--version")),
    ]
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
