//! `racktick watch`: the fleet on a full screen, live. What is shown follows from [`state::State`], which changes with
//! every [`state::Input`] and does no I/O; [`draw`] draws it.

mod draw;
mod source;
mod state;

use std::io::IsTerminal;
use std::time::Duration;

use jiff::Timestamp;
use ledger::Ledger;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, interval, sleep_until};

use crate::app::{App, shutdown};
use crate::exit::Usage;
use crate::tone::are_colours_wanted;
use state::{Input, State};

/// The screen is drawn anew at most so often.
const NOT_MORE_OFTEN: Duration = Duration::from_millis(100);
/// How much may wait to be taken in.
const WAITING: usize = 1024;

const INSTEAD: &str = "`watch` draws on a terminal: `racktick status --output json` says how things are, and \
     `racktick events --follow --output json` what happens";

pub(crate) async fn run(app: &App) -> anyhow::Result<()> {
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if app.output.is_json() || !is_terminal {
        return Err(Usage(INSTEAD.into()).into());
    }
    let ledger = Ledger::new(app.bus().await?);
    let (sender, receiver) = mpsc::channel(WAITING);
    source::start(&ledger, &sender).await?;
    let mut terminal = ratatui::try_init()?;
    read_keys(sender);
    let ended = drive(&mut terminal, receiver).await;
    ratatui::restore();
    ended
}

/// Keys are waited for on a thread of its own, which ends with the program.
fn read_keys(sender: Sender<Input>) {
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let input = match event {
                Event::Key(key) => Input::Key(key),
                _ => Input::Resized,
            };
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
}

async fn drive(terminal: &mut DefaultTerminal, mut inputs: Receiver<Input>) -> anyhow::Result<()> {
    let mut state = State::new(Timestamp::now(), are_colours_wanted());
    let shutdown = shutdown()?;
    tokio::pin!(shutdown);
    let mut clock = interval(Duration::from_secs(1));
    let (mut is_due, mut next) = (true, Instant::now());
    while !state.has_ended() {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            input = inputs.recv() => match input {
                Some(Input::Failed(error)) => return Err(error.into()),
                Some(input) => state.update(input),
                None => return Ok(()),
            },
            _ = clock.tick() => state.update(Input::Now(Timestamp::now())),
            () = sleep_until(next), if is_due => {
                state.settle();
                terminal.draw(|frame| draw::draw(&state, frame))?;
                is_due = false;
                next = Instant::now() + NOT_MORE_OFTEN;
                continue;
            }
        }
        is_due = true;
    }
    Ok(())
}
