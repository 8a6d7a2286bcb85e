//! What is told to whoever runs the edge, beside its requests: on the view while there is one, else on the standard error.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstream::adapter::strip_str;
use tracing_subscriber::fmt::MakeWriter;

/// How much waits to be shown; what is older is lost.
const MAX_WAITING: usize = 256;
/// Most bytes of one thing that is told on the view.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Something that is told, with the colours of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Another policy is in use.
    Reloaded(String),
    /// A policy was not taken, and why.
    Refused(String),
    /// A line of the log.
    Line(String),
}

/// Takes what is told; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_open: AtomicBool,
    waiting: Mutex<VecDeque<Told>>,
}

/// One record of the log, while it is written.
#[derive(Debug)]
pub(crate) struct Record {
    board: Board,
    text: Vec<u8>,
}

impl Told {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Reloaded(text) | Self::Refused(text) | Self::Line(text) => text,
        }
    }

    /// Takes the colours out, and what is too long.
    fn plain(&self) -> Self {
        let text = self.text();
        let text = strip_str(&text[..text.floor_char_boundary(MAX_TEXT_BYTES)]).to_string();
        match self {
            Self::Reloaded(_) => Self::Reloaded(text),
            Self::Refused(_) => Self::Refused(text),
            Self::Line(_) => Self::Line(text),
        }
    }
}

impl Board {
    /// From now on a view shows what is told.
    pub(crate) fn open(&self) {
        self.0.is_open.store(true, Ordering::SeqCst);
    }

    /// From now on the standard error has what is told. Returns whether a view had it until now.
    pub(crate) fn close(&self) -> bool {
        self.0.is_open.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.is_open.load(Ordering::SeqCst)
    }

    pub(crate) fn tell(&self, told: Told) {
        if !self.is_open() {
            return print(&told);
        }
        let mut waiting = self.waiting();
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(told.plain());
    }

    /// Takes what waits to be shown.
    pub(crate) fn take(&self) -> VecDeque<Told> {
        std::mem::take(&mut *self.waiting())
    }

    /// Prints what no view has shown.
    pub(crate) fn print_rest(&self) {
        self.take().iter().for_each(print);
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Told>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn print(told: &Told) {
    // Who closed the standard error wants to read nothing.
    let _ = writeln!(anstream::stderr(), "{}", told.text());
}

impl<'a> MakeWriter<'a> for Board {
    type Writer = Record;

    fn make_writer(&'a self) -> Record {
        Record { board: self.clone(), text: Vec::new() }
    }
}

impl Write for Record {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let told = Told::Line(String::from_utf8_lossy(&self.text).trim_end().to_owned());
        // A standard error that goes to a file keeps the log whatever the terminal shows.
        if io::stderr().is_terminal() { self.board.tell(told) } else { print(&told) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_has_the_last_of_what_is_told_without_colours_while_it_is_open() {
        let board = Board::default();
        board.open();
        for number in 0..MAX_WAITING + 2 {
            board.tell(Told::Line(format!("\u{1b}[1m{number}\u{1b}[0m")));
        }
        board.tell(Told::Refused("ä".repeat(MAX_TEXT_BYTES)));
        let told = board.take();
        assert_eq!((told.len(), &told[0]), (MAX_WAITING, &Told::Line("3".to_owned())));
        assert_eq!(told[MAX_WAITING - 1].text().len(), MAX_TEXT_BYTES);
        assert!(matches!(told[MAX_WAITING - 1], Told::Refused(_)));
        assert!(board.close() && !board.close(), "only one leaves the screen");
    }
}
