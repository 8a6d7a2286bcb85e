//! The backends and how they fare.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Row, Table, TableState};
use selvedge_core::health::{CircuitState, PlaceReport};
use selvedge_emulator::{BackendSnapshot, Fault};

use super::{cells, titled};
use crate::view::state::State;

/// The columns after the name.
const WIDTHS: [Constraint; 5] = [
    Constraint::Length(18),
    Constraint::Length(17),
    Constraint::Length(7),
    Constraint::Length(9),
    Constraint::Length(8),
];
const LEAST_NAME_WIDTH: u16 = 8;
const MOST_NAME_WIDTH: u16 = 30;

/// All backends, the chosen one marked.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let rows = state.snapshot.backends.iter().map(|backend| {
        Row::new([
            Line::from(backend.name.as_str().bold()),
            Line::from(condition(backend)),
            Line::from(fault(backend).unwrap_or_else(|| "-".dark_gray())),
            Line::from(failure_rate(state, backend)).right_aligned(),
            Line::from(backend.in_flight.to_string()).right_aligned(),
            Line::from(backend.requests.to_string()).right_aligned(),
        ])
    });
    let heading = ["BACKEND", "CIRCUIT", "FAULT", "FAILING", "IN FLIGHT", "REQUESTS"];
    let names = state.snapshot.backends.iter().map(|backend| cells(backend.name.chars().count()));
    let name = names.max().unwrap_or_default().clamp(LEAST_NAME_WIDTH, MOST_NAME_WIDTH);
    let widths = std::iter::once(Constraint::Length(name)).chain(WIDTHS);
    let table = Table::new(rows, widths)
        .header(Row::new(heading).style(Style::new().dark_gray()))
        .highlight_symbol("> ")
        .row_highlight_style(Style::new().bold())
        .block(titled(" backends ".bold()));
    let chosen = state.chosen().map(|(at, _)| at);
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(chosen));
}

/// The chosen backend alone.
pub(super) fn draw_line(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let Some((_, backend)) = state.chosen() else { return };
    let spans = vec![
        "> ".bold(),
        backend.name.as_str().bold(),
        " ".into(),
        fault(backend).unwrap_or_else(|| condition(backend)),
        format!(" {} failing", failure_rate(state, backend)).into(),
    ];
    frame.render_widget(Line::from(spans), area);
}

fn fault(backend: &BackendSnapshot) -> Option<Span<'static>> {
    Some(match backend.fault? {
        Fault::Fail => "made to fail".red().bold(),
        Fault::Slow(delay) => format!("made slow by {} s", delay.as_secs_f64()).yellow().bold(),
    })
}

fn failure_rate(state: &State, backend: &BackendSnapshot) -> String {
    state.failures.percent(&backend.name).map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"))
}

/// The state of all its URLs, or of the one in the most trouble and how many are like it.
fn condition(backend: &BackendSnapshot) -> Span<'static> {
    let Some(worst) = backend.places.iter().max_by_key(|place| trouble(place)) else {
        return "no breaker".dark_gray();
    };
    let alike = backend.places.iter().filter(|place| trouble(place) == trouble(worst)).count();
    let name = match (worst.is_unhealthy, worst.circuit) {
        (true, _) => "checks fail".to_owned(),
        (false, Some(CircuitState::Open(left))) => format!("open {} s", left.as_secs() + 1),
        (false, Some(CircuitState::HalfOpen)) => "half-open".to_owned(),
        (false, Some(CircuitState::Closed)) => "closed".to_owned(),
        (false, None) => "no breaker".to_owned(),
    };
    let count = backend.places.len();
    let name = if alike == count { name } else { format!("{name} ({alike} of {count})") };
    match trouble(worst) {
        0 => name.dark_gray(),
        1 => name.green(),
        2 => name.yellow(),
        _ => name.red().bold(),
    }
}

/// The more, the worse.
fn trouble(place: &PlaceReport) -> u8 {
    match (place.is_unhealthy, place.circuit) {
        (true, _) => 4,
        (false, Some(CircuitState::Open(_))) => 3,
        (false, Some(CircuitState::HalfOpen)) => 2,
        (false, Some(CircuitState::Closed)) => 1,
        (false, None) => 0,
    }
}
