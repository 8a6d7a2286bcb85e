//! Edge decisions without IO.
pub mod body;
pub mod bot;
pub mod device;
pub mod facts;
pub mod geo;
pub mod time;
