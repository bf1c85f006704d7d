//! What events tell, for a command that asks once: folded into a history file that is gone with this.

use anyhow::Context;
use bus::{Bus, Start};
use dashboard::follow::read_some;
use dashboard::history::History;
use model::event::Event;
use tempfile::TempDir;

/// A history of some events.
pub(crate) struct Told {
    pub(crate) history: History,
    _folder: TempDir,
}

impl Told {
    /// Reads the stored events on these subjects that are wanted.
    pub(crate) async fn read(
        bus: &Bus,
        filter: &str,
        start: Start,
        is_wanted: impl FnMut(&Event) -> bool,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary directory")?;
        let (history, mut writer) = History::open(&folder.path().join("told.sqlite"))?;
        read_some(bus, filter, start, is_wanted, &mut writer).await?;
        Ok(Self {
            history,
            _folder: folder,
        })
    }
}
