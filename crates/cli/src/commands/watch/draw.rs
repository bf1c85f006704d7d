//! The screen, drawn from the state alone.

use dashboard::history::standing::Health;
use dashboard::views::{Cell, CycleState, CycleSummary, RackCard, RackMachine};
use dashboard::words;
use model::event::Event;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};

use super::state::{Page, State};
use crate::output::ago;
use crate::plain;
use crate::tone::Tone;

/// How many lines of cells a rack has at most: the worst machines come first.
const CELL_LINES: usize = 4;
/// From this height on there is room for jobs and events.
const TALL: u16 = 16;

/// Below this width there is little room for verdicts.
const NARROW: u16 = 60;

const HELP: [&str; 9] = [
    "arrows, j, k     up and down",
    "PgUp, PgDn       ten at a time",
    "Enter, right     into a rack or a machine",
    "Esc, left        back; a filter goes first",
    "/                filter by name, health or reason",
    "?                this",
    "q, Ctrl-C        end",
    "",
    "Any key goes back.",
];

pub(super) fn draw(state: &State, frame: &mut Frame) {
    let is_tall = frame.area().height >= TALL;
    let stale = state.cut_off_since();
    let jobs = match (is_tall, &state.page) {
        (true, Page::Fleet | Page::Rack(_)) => jobs(state),
        _ => Vec::new(),
    };
    let events = if is_tall { frame.area().height / 4 } else { 0 };
    let job_lines = match jobs.len() {
        0 => 0,
        count => {
            1 + u16::try_from(count)
                .unwrap_or(u16::MAX)
                .min(frame.area().height / 5)
        }
    };
    let [head, banner, body, running, tail, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(u16::from(stale.is_some())),
        Constraint::Min(3),
        Constraint::Length(job_lines),
        Constraint::Length(events),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(self::head(state)), head);
    if let Some(since) = stale {
        let text = format!(
            " STALE: the broker was not heard of since {}, {} ",
            since.strftime("%H:%M:%S UTC"),
            ago(since, state.now)
        );
        let style = style(state, Tone::Bad).add_modifier(Modifier::REVERSED | Modifier::BOLD);
        frame.render_widget(Paragraph::new(text).style(style), banner);
    }
    let (lines, selected) = match &state.page {
        Page::Fleet => fleet(state, body.width),
        Page::Rack(rack) => {
            let card = state.fleet.racks.iter().find(|card| card.rack == *rack);
            self::rack(state, card, body.width)
        }
        Page::Machine(_, machine) => {
            let mut all = state.machines.iter();
            let found = all.find(|other| other.cell.machine == *machine);
            (self::machine(state, found), 0)
        }
    };
    scrolled(frame, body, lines, selected);
    if job_lines > 0 {
        titled(frame, running, "jobs now", jobs);
    }
    if events > 0 {
        titled(frame, tail, "events", self::events(state));
    }
    frame.render_widget(Paragraph::new(foot_line(state)), foot);
    if state.is_helping {
        help(frame);
    }
}

/// A style for a tone. Without colours words and shapes say the same.
fn style(state: &State, tone: Tone) -> Style {
    let style = Style::new();
    match tone {
        Tone::Plain => style,
        Tone::Quiet => style.add_modifier(Modifier::DIM),
        _ if !state.colours => style,
        Tone::Good => style.fg(Color::Green),
        Tone::Warn => style.fg(Color::Yellow),
        Tone::Bad => style.fg(Color::Red),
    }
}

fn span(state: &State, tone: Tone, text: &str) -> Span<'static> {
    Span::styled(plain::line(text).into_owned(), style(state, tone))
}

/// Lines of which the selected one is always to be seen.
fn scrolled(frame: &mut Frame, area: Rect, mut lines: Vec<Line>, selected: usize) {
    let height = usize::from(area.height);
    // What follows the selected line, such as a rack's cells, is worth seeing, too.
    let last = (selected + CELL_LINES + 1).min(lines.len());
    let skipped = last.saturating_sub(height).min(selected);
    lines.drain(..skipped);
    frame.render_widget(Paragraph::new(lines), area);
}

fn titled(frame: &mut Frame, area: Rect, title: &'static str, lines: Vec<Line>) {
    let block = Block::new().borders(Borders::TOP).title(title);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn head(state: &State) -> Vec<Line<'static>> {
    let totals = &state.fleet.totals;
    let where_ = match &state.page {
        Page::Fleet => "fleet".to_owned(),
        Page::Rack(rack) => format!("rack {rack}"),
        Page::Machine(rack, machine) => format!("rack {rack}, machine {machine}"),
    };
    let live = match state.cut_off_since() {
        Some(_) => span(state, Tone::Bad, "stale"),
        None => span(state, Tone::Good, "live"),
    };
    let time = state.now.strftime("%H:%M:%S UTC").to_string();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let first = Line::from(vec![
        Span::styled(plain::line(&where_).into_owned(), bold),
        Span::raw("  "),
        live,
        Span::raw(format!(
            " {time}  {} deploying, {} running",
            totals.deploying,
            words::count(totals.cycles, "cycle")
        )),
    ]);
    let mut healths = vec![Span::raw(words::count(totals.machines, "machine") + ": ")];
    for (health, count) in &totals.health {
        let text = format!("{} {count} {}  ", words::shape(*health), health.as_str());
        healths.push(span(state, Tone::of_health(*health), &text));
    }
    vec![first, healths.into()]
}

fn foot_line(state: &State) -> Line<'static> {
    if state.is_typing {
        let text = format!("/{}_   Enter: keep, Esc: all", state.filter);
        return Line::from(plain::line(&text).into_owned());
    }
    let filter = match state.filter.as_str() {
        "" => String::new(),
        filter => format!("  filter: {filter} (Esc: all)"),
    };
    let text = format!("q end  ? help  / filter  Enter in  Esc back{filter}");
    Line::from(span(state, Tone::Quiet, &text))
}

fn help(frame: &mut Frame) {
    let area = frame.area();
    let (width, height) = (52.min(area.width), 11.min(area.height));
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    let place = Rect::new(x, y, width, height);
    frame.render_widget(Clear, place);
    let lines: Vec<Line> = HELP.iter().map(|line| Line::from(*line)).collect();
    let block = Block::bordered().title("help");
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

fn marked(is_selected: bool, spans: Vec<Span<'static>>) -> Line<'static> {
    let mark = Span::raw(if is_selected { "> " } else { "  " });
    let line = Line::from_iter(std::iter::once(mark).chain(spans));
    match is_selected {
        true => line.style(Style::new().add_modifier(Modifier::BOLD)),
        false => line,
    }
}

fn fleet(state: &State, width: u16) -> (Vec<Line<'static>>, usize) {
    let racks = state.racks();
    let mut lines = Vec::new();
    let mut selected = 0;
    for (number, (card, all)) in racks.iter().enumerate() {
        let is_selected = number == state.selected;
        if is_selected {
            selected = lines.len();
        }
        lines.push(marked(is_selected, rack_line(state, card, *all)));
        lines.extend(cells(state, &card.cells, usize::from(width)));
    }
    if racks.is_empty() {
        lines.push(Line::from(match state.filter.is_empty() {
            true => "  no cycle yet: `racktick rack add <MAAS tag>`, or wait a moment",
            false => "  no machine is like that: Esc shows all",
        }));
    }
    (lines, selected)
}

fn rack_line(state: &State, card: &RackCard, all: usize) -> Vec<Span<'static>> {
    let (next, tone) = next_slot(state, card);
    let cycle = match (card.running.first(), &card.last) {
        (Some(cycle), _) | (None, Some(cycle)) => cycle_words(state, cycle),
        (None, None) => String::new(),
    };
    vec![
        span(state, Tone::Plain, &format!("{}  {all}  ", card.rack)),
        span(state, tone, &next),
        span(state, Tone::Plain, &format!("  {cycle}")),
    ]
}

fn next_slot(state: &State, card: &RackCard) -> (String, Tone) {
    let record = state.schedules.racks.get(&card.rack);
    match (record, state.schedules.next_slot(&card.rack, state.now)) {
        (None, _) => ("no schedule".into(), Tone::Quiet),
        (Some(record), _) if record.paused.is_some() => ("paused".into(), Tone::Warn),
        (Some(_), Some(slot)) => (format!("ticks {}", ago(slot, state.now)), Tone::Plain),
        (Some(_), None) => ("no slot".into(), Tone::Quiet),
    }
}

fn cycle_words(state: &State, cycle: &CycleSummary) -> String {
    let word = words::cycle_word(&cycle.state);
    match &cycle.state {
        CycleState::Planning => word.into(),
        CycleState::Running => {
            let all = cycle.deploy.unwrap_or(0);
            let over = all.saturating_sub(cycle.open);
            const BAR: usize = 10;
            let done = (over * BAR).checked_div(all).unwrap_or(BAR);
            let bar = format!("{}{}", "█".repeat(done), "░".repeat(BAR - done));
            format!("{word} {bar} {over} of {all}")
        }
        CycleState::Finished { at, .. } => format!("{word} {}", ago(*at, state.now)),
        CycleState::Failed { at, cause, .. } => format!("{word} {}: {cause}", ago(*at, state.now)),
        CycleState::Missed { at, .. } => format!("{word} {}", ago(*at, state.now)),
    }
}

/// Machines as shape and name, as many as there is room for.
fn cells(state: &State, cells: &[Cell], width: usize) -> Vec<Line<'static>> {
    const INDENT: usize = 4;
    let mut lines: Vec<Vec<Span<'static>>> = Vec::new();
    let mut used = usize::MAX;
    for (number, cell) in cells.iter().enumerate() {
        let mut text = format!("{} {}", words::shape(cell.health), cell.machine);
        if cell.health != Health::Ok {
            text.push_str(&format!(" {}", cell.health.as_str()));
        }
        if cell.job.is_some() {
            text.push_str(" ▶");
        }
        let text = format!("{}  ", plain::line(&text));
        let length = Span::raw(text.as_str()).width();
        if used.saturating_add(length) > width {
            if lines.len() == CELL_LINES {
                let more = format!("{}and {} more", " ".repeat(INDENT), cells.len() - number);
                let mut all: Vec<Line> = lines.into_iter().map(Line::from).collect();
                all.push(Line::from(span(state, Tone::Quiet, &more)));
                return all;
            }
            lines.push(vec![Span::raw(" ".repeat(INDENT))]);
            used = INDENT;
        }
        used += length;
        if let Some(line) = lines.last_mut() {
            line.push(span(state, Tone::of_health(cell.health), &text));
        }
    }
    lines.into_iter().map(Line::from).collect()
}

fn rack(state: &State, card: Option<&RackCard>, width: u16) -> (Vec<Line<'static>>, usize) {
    let most = if width < NARROW { 3 } else { 10 };
    let mut lines = Vec::new();
    if let Some(card) = card {
        lines.push(marked(false, rack_line(state, card, card.cells.len())));
    }
    let members = state.members();
    let names = members
        .iter()
        .map(|member| member.cell.machine.as_str().chars().count());
    let longest = names.max().unwrap_or(0).min(24);
    let selected = lines.len() + state.selected;
    for (number, member) in members.iter().enumerate() {
        let cell = &member.cell;
        let health = format!(
            "{} {:<11} ",
            words::shape(cell.health),
            format!("{} {}", cell.health.as_str(), cell.streak)
        );
        let spans = vec![
            span(
                state,
                Tone::Plain,
                &format!("{:<longest$} ", cell.machine.as_str()),
            ),
            span(state, Tone::of_health(cell.health), &health),
            span(
                state,
                Tone::Plain,
                &format!("{:>most$} ", strip(member, most)),
            ),
            is_now(state, cell),
        ];
        lines.push(marked(number == state.selected, spans));
    }
    if members.is_empty() {
        lines.push(Line::from("  no machine is like that"));
    }
    (lines, selected)
}

/// The shapes of the last outcomes, the newest last.
fn strip(machine: &RackMachine, most: usize) -> String {
    let shown = machine.verdicts.len().saturating_sub(most);
    let shapes = machine.verdicts[shown..].iter();
    shapes
        .map(|verdict| words::outcome_shape(&verdict.outcome))
        .collect()
}

fn is_now(state: &State, cell: &Cell) -> Span<'static> {
    match (&cell.job, &cell.decision.skip, &cell.last) {
        (Some(job), _, _) => {
            let at = job
                .at
                .map_or(String::new(), |at| format!(" {}", ago(at, state.now)));
            let overdue = if job.overdue { ", overdue" } else { "" };
            let word = job.state.as_deref().unwrap_or("submitted");
            span(state, Tone::Plain, &format!("▶ {word}{at}{overdue}"))
        }
        (None, Some(skip), _) => span(state, Tone::Quiet, &format!("– {}", skip.reason)),
        (None, None, Some(last)) => {
            let text = words::outcome(&last.outcome);
            span(state, Tone::of_outcome(&last.outcome), &text)
        }
        (None, None, None) => span(state, Tone::Quiet, "no job yet"),
    }
}

fn machine(state: &State, machine: Option<&RackMachine>) -> Vec<Line<'static>> {
    let Some(machine) = machine else {
        return vec![Line::from(
            "  it is not in the rack any more: Esc goes back",
        )];
    };
    let cell = &machine.cell;
    let fact = |name: &str, value: Span<'static>| {
        Line::from(vec![Span::raw(format!("  {name:<14} ")), value])
    };
    let text = |text: &str| span(state, Tone::Plain, text);
    let health = format!("{} {}", words::shape(cell.health), cell.health.as_str());
    let mut lines = vec![
        fact("health", span(state, Tone::of_health(cell.health), &health)),
        fact("", text(words::health_meaning(cell.health))),
    ];
    if let Some(since) = cell.since {
        let since = format!("{}, {} in a row", ago(since, state.now), cell.streak);
        lines.push(fact("since", text(&since)));
    }
    if let Some(passed) = cell.passed_at {
        lines.push(fact("deployed last", text(&ago(passed, state.now))));
    }
    lines.push(fact("now", is_now(state, cell)));
    if let Some(last) = &cell.last {
        let words = format!(
            "{}, {}",
            words::outcome(&last.outcome),
            ago(last.at, state.now)
        );
        lines.push(fact(
            "last job",
            span(state, Tone::of_outcome(&last.outcome), &words),
        ));
        lines.push(fact("", text(&format!("racktick job {}", last.job))));
    }
    let decision = match &cell.decision.skip {
        None => "deploy".to_owned(),
        Some(skip) => format!("left alone: {}: {}", skip.reason, words::skip_words(skip)),
    };
    lines.push(fact("last decision", text(&decision)));
    lines.push(fact(
        "",
        text(&format!(
            "{} in cycle {}",
            ago(cell.decision.at, state.now),
            cell.decision.cycle
        )),
    ));
    lines.push(fact("last jobs", text(&strip(machine, 30))));
    let more = format!("racktick machine {0}, racktick why {0}", cell.machine);
    lines.push(fact("more", span(state, Tone::Quiet, &more)));
    lines
}

/// The jobs that are at work.
fn jobs(state: &State) -> Vec<Line<'static>> {
    let mut cells: Vec<&Cell> = match &state.page {
        Page::Fleet => state
            .fleet
            .racks
            .iter()
            .flat_map(|card| &card.cells)
            .collect(),
        _ => state.machines.iter().map(|machine| &machine.cell).collect(),
    };
    cells.retain(|cell| cell.job.is_some());
    cells.sort_by_key(|cell| (cell.job.as_ref().and_then(|job| job.at), &cell.machine));
    cells.dedup_by_key(|cell| &cell.machine);
    let line = |cell: &&Cell| {
        let name = format!("  {}  ", cell.machine);
        Line::from(vec![span(state, Tone::Plain, &name), is_now(state, cell)])
    };
    cells.iter().map(line).collect()
}

/// What happened, the newest first, where the person is.
fn events(state: &State) -> Vec<Line<'static>> {
    let of = |event: &&Event| match &state.page {
        Page::Fleet => true,
        Page::Rack(rack) => event.rack == *rack,
        Page::Machine(_, machine) => event.fact.machine() == Some(machine),
    };
    let line = |event: &Event| {
        let (about, what) = event.fact.words();
        let machine = event.fact.machine().map_or("", |machine| machine.as_str());
        let time = event.time.strftime("%H:%M:%S");
        let detail = detail(event);
        let text = format!("  {time} {} {about} {what} {machine} {detail}", event.rack);
        Line::from(span(state, Tone::Plain, text.trim_end()))
    };
    state.events.iter().filter(of).map(line).collect()
}

fn detail(event: &Event) -> String {
    use model::event::Fact;
    match &event.fact {
        Fact::JobFinished { verdict, .. } => words::outcome(verdict),
        Fact::JobProgressed { state, .. } => state.clone(),
        Fact::JobRejected { message, .. } => message.clone(),
        Fact::MachineSkipped { skip, .. } => skip.reason.to_string(),
        Fact::CycleFailed { cause, .. } | Fact::CycleRetrying { cause, .. } => cause.clone(),
        Fact::TickMissed { cause, .. } => words::missed(*cause).into(),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
