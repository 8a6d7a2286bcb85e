//! Made by `selvedge build`; changes are written over.
pub use selvedge_cloudflare::*;
