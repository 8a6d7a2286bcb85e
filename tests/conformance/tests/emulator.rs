//! Every case on the emulator, over real HTTP.

use std::process::ExitCode;

use selvedge_conformance::emulator::LocalEdge;
use selvedge_conformance::trials;

fn main() -> ExitCode {
    trials::run(LocalEdge)
}
