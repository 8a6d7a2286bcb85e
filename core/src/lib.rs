//! Edge decisions without IO.
pub mod body;
pub mod cache;
pub mod facts;
pub mod geo;
pub mod time;
