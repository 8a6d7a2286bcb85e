//! Made by `selvedge build`; changes are written over.

fn main() -> std::process::ExitCode {
    selvedge_lambda::run({{handlers}})
}
