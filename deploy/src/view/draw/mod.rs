//! How the view looks, at any size of the terminal.

mod backends;
mod head;
mod requests;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};

use super::keys::HELP;
use super::state::{Mode, State};

/// Below this there is one line for each thing that is not the list of requests.
const LEAST_WIDTH: u16 = 60;
const LEAST_HEIGHT: u16 = 16;

/// Of the terminal's height, the part that backends take at most, and the part that a refusal takes.
const BACKENDS_SHARE: u16 = 4;
const REFUSAL_SHARE: u16 = 3;

/// Draws what the state knows.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let area = frame.area();
    let is_small = area.width < LEAST_WIDTH || area.height < LEAST_HEIGHT;
    let rows = if is_small { small(state, area) } else { large(state, area) };
    let [head, totals, backends, refusal, requests, log, foot] =
        Layout::vertical(rows.map(Constraint::Length)).areas(area);
    if is_small {
        head::draw_line(frame, state, head);
        head::draw_totals_line(frame, state, totals);
        backends::draw_line(frame, state, backends);
    } else {
        head::draw(frame, state, head);
        head::draw_totals(frame, state, totals);
        backends::draw(frame, state, backends);
    }
    draw_refusal(frame, state, refusal);
    requests::draw(frame, state, requests);
    draw_log(frame, state, log);
    draw_foot(frame, state, foot);
    if state.mode == Mode::Help {
        draw_help(frame, area);
    }
}

/// The heights of everything from top to bottom.
type Heights = [u16; 7];

fn small(state: &State, area: Rect) -> Heights {
    let refusal = refusal_height(state, area);
    let rest = area.height.saturating_sub(4 + refusal);
    [1, 1, 1, refusal, rest, 0, 1]
}

fn large(state: &State, area: Rect) -> Heights {
    let backends = cells(state.snapshot.backends.len()).saturating_add(2).min(area.height / BACKENDS_SHARE);
    let log = if area.height < 30 { 3 } else { 6 };
    let log = if state.log.is_empty() { 0 } else { log };
    let refusal = refusal_height(state, area);
    let rest = area.height.saturating_sub(2 + 4 + backends + refusal + log + 1);
    [2, 4, backends, refusal, rest, log, 1]
}

fn refusal_height(state: &State, area: Rect) -> u16 {
    let lines = state.refusal.as_deref().map_or(0, |text| text.lines().count() + 1);
    cells(lines).min(area.height / REFUSAL_SHARE)
}

/// A length on the terminal.
fn cells(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// A heading on a line across the area.
fn titled(title: impl Into<Line<'static>>) -> Block<'static> {
    Block::new().borders(Borders::TOP).border_style(Style::new().dark_gray()).title(title)
}

fn draw_refusal(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let Some(text) = &state.refusal else { return };
    let block = titled(" the policy before this edit stays in use ".red().bold());
    frame.render_widget(Paragraph::new(text.as_str()).block(block), area);
}

fn draw_log(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let visible = usize::from(area.height.saturating_sub(1));
    let lines = state.log.iter().skip(state.log.len().saturating_sub(visible));
    let lines: Vec<Line<'_>> = lines.map(|line| Line::from(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(titled(" log ".bold())), area);
}

fn draw_foot(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let line = match (&state.mode, &state.notice) {
        (Mode::ConfirmingPurge, _) => Line::from(vec!["purge everything? ".yellow().bold(), "y / n".into()]),
        (Mode::NamingPurge(typed), _) => {
            // The end of what is typed is what one looks at.
            let room = usize::from(area.width).saturating_sub(18);
            let skipped = typed.chars().count().saturating_sub(room);
            let end: String = typed.chars().skip(skipped).collect();
            Line::from(vec!["prefix or tag: ".yellow().bold(), end.into(), "_".slow_blink()])
        }
        (Mode::Help, _) => Line::from("any key: back".dark_gray()),
        (Mode::Watching, Some(notice)) => Line::from(vec![notice.as_str().yellow(), "  ? help".dark_gray()]),
        (Mode::Watching, None) => key_line(area.width),
    };
    frame.render_widget(line, area);
}

fn key_line(width: u16) -> Line<'static> {
    let keys = [
        ("q", "end"),
        ("?", "help"),
        ("↑↓", "backend"),
        ("f", "fail"),
        ("s", "slow"),
        ("h", "heal"),
        ("p/P", "purge"),
        ("r", "reload"),
        ("c", "clear"),
        ("space", "hold"),
    ];
    let shown = if width < LEAST_WIDTH { 4 } else { keys.len() };
    let spans =
        keys.iter().take(shown).flat_map(|(key, does)| [key.bold(), format!(" {does}  ").dark_gray()]);
    Line::from(spans.collect::<Vec<Span<'_>>>())
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(key, does)| Line::from(vec![format!(" {key:<14} ").bold(), (*does).into()]))
        .collect();
    let (width, height) = (72.min(area.width), (cells(lines.len()) + 2).min(area.height));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ".bold())), place);
}

/// A time in milliseconds, with as many digits as tell something.
fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    let digits = match time.as_millis() {
        0..10 => 2,
        10..100 => 1,
        100.. => 0,
    };
    format!("{millis:.digits$}")
}

fn status_style(status: Option<u16>) -> Style {
    let color = match status.map(|status| status / 100) {
        Some(2) => Color::Green,
        Some(3) => Color::Cyan,
        Some(4) => Color::Yellow,
        Some(5) => Color::Red,
        Some(_) | None => Color::DarkGray,
    };
    Style::new().fg(color)
}

#[cfg(test)]
mod tests;
