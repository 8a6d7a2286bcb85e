//! The component of a policy that names no handlers; `spin build` beside `spin.toml` makes it.

selvedge_spin::component!();
