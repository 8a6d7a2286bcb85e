//! What the edge is, and what it did in all.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Stylize as _;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline};

use super::millis;
use crate::view::state::State;

/// The policy and the addresses.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let about = &state.about;
    let origin = about.origin.map_or_else(|| "not started".to_owned(), |address| format!("http://{address}"));
    let policy = &state.snapshot.policy;
    let first = vec![
        "Selvedge ".bold(),
        policy.name.as_str().cyan().bold(),
        format!(" {}", policy.hash).dark_gray(),
        format!("  {}", about.source).into(),
        format!("  up {}", clock(state.snapshot.uptime.as_secs())).into(),
    ];
    let second = vec![
        "edge ".dark_gray(),
        format!("http://{}", about.edge).cyan(),
        "  status ".dark_gray(),
        "/_selvedge/".cyan(),
        "  origin ".dark_gray(),
        origin.cyan(),
    ];
    frame.render_widget(Paragraph::new(vec![Line::from(first), Line::from(second)]), area);
}

/// The same in one line.
pub(super) fn draw_line(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let name = state.snapshot.policy.name.as_str();
    let line = vec!["Selvedge ".bold(), name.cyan().bold(), format!(" http://{}", state.about.edge).into()];
    frame.render_widget(Line::from(line), area);
}

/// Requests by second, and counts.
pub(super) fn draw_totals(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let [left, _, right] =
        Layout::horizontal([Constraint::Percentage(35), Constraint::Length(2), Constraint::Fill(1)])
            .areas(area);
    let data = state.rates.last(usize::from(left.width));
    let title = Line::from(vec![state.rates.latest().to_string().bold(), " requests/s".into()]);
    frame.render_widget(Sparkline::default().block(Block::new().title(title)).data(data).cyan(), left);
    let lines: Vec<Line<'_>> = vec![counts(state), hits(state), latencies(state), outcomes(state)];
    frame.render_widget(Paragraph::new(lines), right);
}

/// The same in one line.
pub(super) fn draw_totals_line(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let (snapshot, [_, _, p99]) = (&state.snapshot, state.snapshot.latencies);
    let line = format!(
        "{}/s {} hit {} p99 {} ms",
        state.rates.latest(),
        count_of(snapshot.requests, "request"),
        hit_ratio(state).unwrap_or_else(|| "-".to_owned()),
        millis(p99)
    );
    frame.render_widget(Line::from(line), area);
}

fn counts(state: &State) -> Line<'static> {
    let mut spans: Vec<Span<'_>> = vec![
        count_of(state.snapshot.requests, "request").bold(),
        format!(", {} in flight", state.snapshot.in_flight).into(),
    ];
    if state.lost > 0 {
        spans.push(format!(", {} too fast to list", state.lost).dark_gray());
    }
    Line::from(spans)
}

fn hits(state: &State) -> Line<'static> {
    let (hits, misses) = (state.snapshot.hits, state.snapshot.misses);
    let ratio = hit_ratio(state).unwrap_or_else(|| "-".to_owned());
    let detail = format!(" ({hits} of {}), {} stored", hits + misses, state.snapshot.entries);
    Line::from(vec!["hit ratio ".into(), ratio.bold(), detail.dark_gray()])
}

fn latencies(state: &State) -> Line<'static> {
    let times = ["p50", "p90", "p99"].into_iter().zip(state.snapshot.latencies);
    let spans = times.flat_map(|(name, time)| [format!(" {name} ").dark_gray(), millis(time).bold()]);
    Line::from(std::iter::once("head ms".into()).chain(spans).collect::<Vec<Span<'_>>>())
}

fn outcomes(state: &State) -> Line<'static> {
    let spans =
        state.snapshot.outcomes.iter().flat_map(|(outcome, count)| {
            [format!("{outcome} ").dark_gray(), Span::from(format!("{count}  "))]
        });
    Line::from(spans.collect::<Vec<_>>())
}

/// Of the requests for which the cache was asked, the percentage that it answered.
#[expect(clippy::cast_precision_loss, reason = "a percentage needs few digits")]
fn hit_ratio(state: &State) -> Option<String> {
    let (hits, misses) = (state.snapshot.hits, state.snapshot.misses);
    let asked = hits + misses;
    (asked > 0).then(|| format!("{:.1} %", 100.0 * hits as f64 / asked as f64))
}

fn count_of(count: u64, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

/// Hours, minutes and seconds.
pub(super) fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
