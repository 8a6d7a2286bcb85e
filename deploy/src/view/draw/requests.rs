//! The latest requests.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};
use selvedge_emulator::SeenRequest;

use super::head::clock;
use super::{millis, status_style, titled};
use crate::view::state::State;
use crate::visible::visible;

/// A column of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Time,
    Method,
    /// Host and path.
    Url,
    Path,
    Status,
    Reason,
    Cache,
    Backend,
    Millis,
}

const WIDE: &[Column] = &[
    Column::Time,
    Column::Method,
    Column::Url,
    Column::Status,
    Column::Reason,
    Column::Cache,
    Column::Backend,
    Column::Millis,
];
const NARROW: &[Column] = &[
    Column::Method,
    Column::Path,
    Column::Status,
    Column::Reason,
    Column::Cache,
    Column::Backend,
    Column::Millis,
];
const NARROWEST: &[Column] = &[Column::Method, Column::Path, Column::Status, Column::Millis];

/// The latest requests, or what to try while there was none.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let block = titled(title(state));
    if state.requests.is_empty() {
        let tries = state.about.tries.iter().map(|line| Line::from(line.as_str().dark_gray()));
        return frame.render_widget(Paragraph::new(tries.collect::<Vec<_>>()).block(block), area);
    }
    let columns = match area.width {
        0..60 => NARROWEST,
        60..110 => NARROW,
        110.. => WIDE,
    };
    let rows = state.requests.iter().take(usize::from(area.height));
    let rows = rows.map(|request| Row::new(columns.iter().map(|column| column.cell(request))));
    let heading = Row::new(columns.iter().map(|column| column.heading())).style(Style::new().dark_gray());
    let table = Table::new(rows, columns.iter().map(|column| column.width(columns == WIDE)))
        .header(heading)
        .block(block);
    frame.render_widget(table, area);
}

fn title(state: &State) -> Line<'static> {
    match &state.held_back {
        None => Line::from(" requests ".bold()),
        Some(held_back) => Line::from(format!(" requests, held: {} more ", held_back.len()).yellow().bold()),
    }
}

impl Column {
    fn heading(self) -> Line<'static> {
        match self {
            Self::Time => Line::from("UTC"),
            Self::Method => Line::from("METHOD"),
            Self::Url | Self::Path => Line::from("URL"),
            Self::Status => Line::from("CODE"),
            Self::Reason => Line::from("OUTCOME"),
            Self::Cache => Line::from("CACHE"),
            Self::Backend => Line::from("BACKEND"),
            Self::Millis => Line::from("MS").right_aligned(),
        }
    }

    fn width(self, is_wide: bool) -> Constraint {
        let length = |narrow, wide| Constraint::Length(if is_wide { wide } else { narrow });
        match self {
            Self::Time => length(8, 8),
            Self::Method => length(6, 7),
            Self::Url | Self::Path => Constraint::Fill(1),
            Self::Status => length(4, 4),
            Self::Reason => length(18, 22),
            Self::Cache => length(8, 14),
            Self::Backend => length(8, 10),
            Self::Millis => length(7, 8),
        }
    }

    fn cell(self, request: &SeenRequest) -> Line<'_> {
        let or_none = |text: Option<&'static str>| Line::from(text.unwrap_or("-"));
        match self {
            Self::Time => Line::from(clock(request.time.as_millis() / 1000 % 86_400)),
            Self::Method => Line::from(visible(&request.method)),
            Self::Url => Line::from(vec![
                visible(request.host.as_deref().unwrap_or_default()).dark_gray(),
                visible(&request.path).into(),
            ]),
            Self::Path => Line::from(visible(&request.path)),
            Self::Status => Line::from(status(request)).style(status_style(request.status)),
            Self::Reason => or_none(request.reason),
            Self::Cache => or_none(request.cache.map(|code| code.strip_prefix("cache.").unwrap_or(code))),
            Self::Backend => Line::from(request.backend.as_deref().unwrap_or("-")),
            Self::Millis => Line::from(millis(request.duration)).right_aligned(),
        }
    }
}

/// The status, with a mark where the response broke off.
fn status(request: &SeenRequest) -> String {
    match request.status {
        Some(status) if request.is_aborted => format!("{status}!"),
        Some(status) => status.to_string(),
        None => "!".to_owned(),
    }
}
