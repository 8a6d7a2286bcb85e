//! The live view of `selvedge dev`, in a terminal of its own.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{Read as _, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, PtyPair, PtySize, native_pty_system};

/// Longest wait for something that takes a second at most.
const PATIENCE: Duration = Duration::from_secs(30);
const SIZE: PtySize = PtySize { rows: 30, cols: 120, pixel_width: 0, pixel_height: 0 };

/// A `selvedge dev` on a terminal, and what that shows.
struct Session {
    pair: PtyPair,
    keyboard: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    terminal: vt100::Parser,
    child: Box<dyn Child + Send + Sync>,
    edge: SocketAddr,
}

impl Session {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let pair = native_pty_system().openpty(SIZE).unwrap();
        let edge = free_address();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_selvedge"));
        command.args(["dev", "--listen", &edge.to_string(), "--origin-listen", &free_address().to_string()]);
        command.args(args);
        command.cwd(folder);
        command.env("TERM", "xterm-256color");
        command.env_remove("SELVEDGE_LOG");
        let child = pair.slave.spawn_command(command).unwrap();
        let (mut reader, keyboard) =
            (pair.master.try_clone_reader().unwrap(), pair.master.take_writer().unwrap());
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = reader.read(&mut bytes) {
                if count == 0 || sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let [rows, columns] = [SIZE.rows, SIZE.cols].map(|length| NonZero::new(length).unwrap());
        let terminal = vt100::Parser::new(rows, columns, 0);
        Self { pair, keyboard, output, terminal, child, edge }
    }

    /// Waits until the terminal shows a line with all of these.
    fn shows(&mut self, parts: &[&str]) {
        let began = Instant::now();
        loop {
            let contents = self.terminal.screen().contents();
            if contents.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
                return;
            }
            let left = PATIENCE.saturating_sub(began.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.terminal.process(&bytes),
                Err(error) => panic!("no line with {parts:?} ({error}) in\n{contents}"),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Asks for a path and waits for the answer's end.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.edge).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Waits for its end, and for a terminal that is as it was before.
    fn ends_well(mut self) {
        self.shows(&["finishing the requests in flight"]);
        let screen = self.terminal.screen();
        assert!(!screen.alternate_screen(), "the screen before is there again");
        assert!(!screen.hide_cursor(), "so is the cursor");
        assert_eq!(self.child.wait().unwrap().exit_code(), 0);
        let other = native_pty_system().openpty(SIZE).unwrap();
        let (after, fresh) = (self.pair.master.get_termios(), other.master.get_termios());
        assert!(fresh.is_some() && after == fresh, "keys are read by the line again");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // One that has ended already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn the_view_shows_requests_and_its_keys_break_a_backend_purge_and_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), &[]);
    session.shows(&["Selvedge storefront", "the built-in storefront"]);
    session.shows(&["curl -i", "/static/site.css"]);
    session.shows(&["> cloud", "closed"]);
    // The key up, from the first backend to the last.
    session.press("\u{1b}[A");
    session.shows(&["> us", "closed"]);

    assert!(session.get("/static/site.css").starts_with("HTTP/1.1 200"));
    session.shows(&["GET", "/static/site.css", "200", "backend.responded", "miss", "global"]);
    session.press("f");
    session.shows(&["> us", "made to fail"]);
    session.press("s");
    session.shows(&["> us", "made slow by 2 s"]);
    session.press("h");
    session.shows(&["us is well"]);

    session.press("p");
    session.shows(&["purge everything? y / n"]);
    session.press("y");
    session.shows(&["purged"]);
    assert!(session.get("/static/site.css").contains("detail=backend.responded"), "it is no hit");

    session.press("q");
    session.ends_well();
}

#[test]
fn an_edit_that_is_refused_is_shown_and_the_next_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("edge.toml");
    let write = |text: &str| fs::write(&policy, text).unwrap();
    write("name = \"first\"\n");
    let mut session = Session::start(folder.path(), &["--no-origin"]);
    session.shows(&["Selvedge first"]);
    write("name = \"second\"\n[[routes]]\npath = 5\n");
    session.shows(&["the policy before this edit stays in use"]);
    session.shows(&["edge.toml:3:8: error: routes[0].path: expected a text"]);
    session.shows(&["Selvedge first"]);
    write("name = \"third\"\n");
    session.shows(&["Selvedge third"]);
    session.press("\u{3}");
    session.ends_well();
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), &["--no-origin"]);
    session.shows(&["Selvedge storefront"]);
    let id = session.child.process_id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    session.ends_well();
}

#[test]
fn there_is_no_view_where_lines_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), &["--plain"]);
    session.shows(&["Ctrl-C ends"]);
    assert!(session.get("/static/site.css").starts_with("HTTP/1.1 200"));
    session.shows(&["GET", "/static/site.css", "200", "backend.responded", "cache.miss", "global"]);
    session.press("\u{3}");
    session.ends_well();
}
