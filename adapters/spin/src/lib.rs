//! Spin: an edge policy as a WASI 0.3 component.

pub mod variables;
