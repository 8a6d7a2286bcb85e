//! The terminal while the view has it.

use std::io::{self, Stdout, stdout};
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::board::Board;

/// Gives the terminal back when it is dropped, and when anything panics.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
    board: Board,
}

impl Screen {
    /// Takes the terminal: a screen of its own, and each key as it is pressed.
    ///
    /// # Errors
    /// When it is none, or its size is not known.
    pub(super) fn enter(board: Board) -> io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        leave_on_panic(board.clone());
        board.open();
        let screen = Self { terminal, board };
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave(&self.board);
        self.board.print_rest();
    }
}

/// Does nothing where the terminal was given back already.
fn leave(board: &Board) {
    if board.close() {
        // A terminal that is gone needs nothing.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}

/// Lets the message of a panic be read.
fn leave_on_panic(board: Board) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave(&board);
            hook(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_any_thread_gives_the_terminal_back() {
        let board = Board::default();
        leave_on_panic(board.clone());
        board.open();
        let panicked = std::thread::spawn(|| panic!("a thread panics for this test")).join();
        assert!(panicked.is_err() && !board.is_open(), "the view ends, and the message is read");
    }
}
