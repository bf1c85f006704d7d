//! What `watch` knows and where the person is in it. No I/O: everything comes as an [`Input`].

use std::collections::{BTreeMap, VecDeque};

use bus::BusError;
use dashboard::records::Records;
use dashboard::schedules::Schedules;
use dashboard::views::{Cell, Fleet, RackCard, RackMachine};
use jiff::{SignedDuration, Timestamp};
use ledger::stored::Read;
use model::cycle::CycleRecord;
use model::event::Event;
use model::machine::MachineRecord;
use model::name::{MachineName, RackName};
use model::rack::RackRecord;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// How many events are remembered.
const REMEMBERED: usize = 500;
/// After this long without a word the broker is taken for away.
const QUIET: SignedDuration = SignedDuration::from_secs(15);
/// How far a page key goes.
const PAGE: usize = 10;

/// Something that changes what is shown.
pub(super) enum Input {
    Key(KeyEvent),
    /// The records as they are at first.
    Records(Box<Records>),
    Cycle(String, Box<Read<CycleRecord>>),
    Machine(String, Box<Read<MachineRecord>>),
    Event(Box<Event>),
    /// The schedules, and when the broker told them.
    Racks(BTreeMap<RackName, RackRecord>, Timestamp),
    Now(Timestamp),
    Resized,
    /// Nothing more will come.
    Failed(BusError),
}

/// Where the person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    Fleet,
    Rack(RackName),
    Machine(RackName, MachineName),
}

pub(super) struct State {
    pub(super) now: Timestamp,
    pub(super) colours: bool,
    pub(super) page: Page,
    /// The number of the rack or machine that the person stands on.
    pub(super) selected: usize,
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) is_helping: bool,
    pub(super) schedules: Schedules,
    pub(super) fleet: Fleet,
    /// The machines of the rack that is looked at, with their last verdicts.
    pub(super) machines: Vec<RackMachine>,
    /// The newest first.
    pub(super) events: VecDeque<Event>,
    records: Records,
    heard_at: Option<Timestamp>,
    began_at: Timestamp,
    is_changed: bool,
    has_ended: bool,
}

impl State {
    pub(super) fn new(now: Timestamp, colours: bool) -> Self {
        let records = Records::default();
        Self {
            now,
            colours,
            page: Page::Fleet,
            selected: 0,
            filter: String::new(),
            is_typing: false,
            is_helping: false,
            schedules: Schedules::default(),
            fleet: records.fleet(now),
            machines: Vec::new(),
            events: VecDeque::new(),
            records,
            heard_at: None,
            began_at: now,
            is_changed: false,
            has_ended: false,
        }
    }

    /// Whether the person has had enough.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Since when the broker was not heard of, when that is too long ago.
    pub(super) fn cut_off_since(&self) -> Option<Timestamp> {
        let heard = self.heard_at.unwrap_or(self.began_at);
        (self.now.duration_since(heard) > QUIET).then_some(heard)
    }

    pub(super) fn update(&mut self, input: Input) {
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => self.press(key),
            Input::Records(records) => self.records = *records,
            Input::Cycle(key, cycle) => self.records.add_cycle(&key, *cycle),
            Input::Machine(key, machine) => self.records.add_machine(&key, *machine),
            Input::Event(event) => {
                self.records.add_event(&event);
                self.events.push_front(*event);
                self.events.truncate(REMEMBERED);
            }
            Input::Racks(racks, at) => {
                self.schedules = Schedules {
                    is_read: true,
                    racks,
                };
                self.heard_at = Some(at);
            }
            Input::Now(now) => self.now = now,
            Input::Key(_) | Input::Resized | Input::Failed(_) => return,
        }
        self.is_changed = true;
    }

    /// Works out what is shown, before it is drawn.
    pub(super) fn settle(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        self.fleet = self.records.fleet(self.now);
        self.machines = match &self.page {
            Page::Fleet => Vec::new(),
            Page::Rack(rack) | Page::Machine(rack, _) => {
                let view = self.records.rack(rack, self.now);
                view.map_or_else(Vec::new, |view| view.machines)
            }
        };
        let most = self.count().saturating_sub(1);
        self.selected = self.selected.min(most);
    }

    /// The racks that the filter lets through, each with those of its machines that it lets through.
    pub(super) fn racks(&self) -> Vec<(RackCard, usize)> {
        let mut racks = Vec::new();
        for card in &self.fleet.racks {
            let all = card.cells.len();
            let mut card = card.clone();
            if !has(card.rack.as_str(), &self.filter) {
                card.cells.retain(|cell| self.lets_through(cell));
            }
            if !card.cells.is_empty() || self.filter.is_empty() {
                racks.push((card, all));
            }
        }
        racks
    }

    /// The machines of the rack that is looked at that the filter lets through.
    pub(super) fn members(&self) -> Vec<&RackMachine> {
        let all = self.machines.iter();
        all.filter(|machine| self.lets_through(&machine.cell))
            .collect()
    }

    fn lets_through(&self, cell: &Cell) -> bool {
        let skip = cell.decision.skip.as_ref();
        has(cell.machine.as_str(), &self.filter)
            || has(cell.health.as_str(), &self.filter)
            || skip.is_some_and(|skip| has(skip.reason.as_str(), &self.filter))
    }

    fn count(&self) -> usize {
        match &self.page {
            Page::Fleet => self.racks().len(),
            Page::Rack(_) => self.members().len(),
            Page::Machine(..) => 1,
        }
    }

    fn press(&mut self, key: KeyEvent) {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            self.has_ended = true;
            return;
        }
        if self.is_typing {
            return self.type_filter(key.code);
        }
        if self.is_helping {
            self.is_helping = false;
            self.has_ended = key.code == KeyCode::Char('q');
            return;
        }
        // What was learnt since the last drawing counts.
        self.settle();
        let last = self.count().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') => self.has_ended = true,
            KeyCode::Char('?') => self.is_helping = true,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Down | KeyCode::Char('j') => self.selected = last.min(self.selected + 1),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::PageDown => self.selected = last.min(self.selected + PAGE),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(PAGE),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = last,
            KeyCode::Enter | KeyCode::Right => self.enter(),
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => self.leave(),
            _ => {}
        }
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(character) => self.filter.push(character),
            _ => return,
        }
        self.selected = 0;
    }

    fn enter(&mut self) {
        let next = match &self.page {
            Page::Fleet => self
                .racks()
                .get(self.selected)
                .map(|(card, _)| Page::Rack(card.rack.clone())),
            Page::Rack(rack) => self
                .members()
                .get(self.selected)
                .map(|machine| Page::Machine(rack.clone(), machine.cell.machine.clone())),
            Page::Machine(..) => None,
        };
        if let Some(next) = next {
            // A rack that was found by its own name is shown whole.
            if let Page::Rack(rack) = &next
                && has(rack.as_str(), &self.filter)
            {
                self.filter.clear();
            }
            self.page = next;
            self.selected = 0;
            self.is_changed = true;
        }
    }

    /// Back to where the person came from, with that selected; a filter goes first.
    fn leave(&mut self) {
        if !self.filter.is_empty() {
            self.filter.clear();
            return;
        }
        let (page, selected) = match &self.page {
            Page::Fleet => return,
            Page::Rack(rack) => {
                let position = self.fleet.racks.iter().position(|card| card.rack == *rack);
                (Page::Fleet, position)
            }
            Page::Machine(rack, machine) => {
                let mut all = self.machines.iter();
                let position = all.position(|other| other.cell.machine == *machine);
                (Page::Rack(rack.clone()), position)
            }
        };
        self.page = page;
        self.selected = selected.unwrap_or(0);
        self.is_changed = true;
    }
}

fn has(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}
