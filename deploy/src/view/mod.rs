//! The live view of `selvedge dev`: what the edge does, on a whole terminal.
//!
//! [`state`] knows and decides, [`draw`] shows it, [`keys`] says what a key asks for; none of them touches a terminal.
//! [`run`] is what does, with [`screen`].

pub(crate) mod board;
mod draw;
mod keys;
mod run;
mod screen;
pub(crate) mod state;

pub(crate) use run::{Desk, View};
