//! What people do to racks: written into the rack's record, kept there until it is told, and told as an event.

use bus::{Outgoing, Written};
use jiff::{SignedDuration, Timestamp};
use model::action::{Action, Deed, RackEvent};
use model::name::RackName;
use model::rack::RackRecord;
use model::subject::key;

use crate::{Ledger, LedgerError, TRIES};

/// Whoever acts tells it at once. What is untold for longer is told by others.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acted {
    /// It is in the record.
    Done,
    /// The rack was like that already.
    AsItWas,
    /// There is no such rack.
    NoRack,
}

impl Ledger {
    /// Does something to a rack, and tells it. That it could not be told is logged: it is done all the same, and
    /// somebody tells it later.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub async fn act(&self, rack: &RackName, action: &Action) -> Result<Acted, LedgerError> {
        let acted = self.act_untold(rack, action).await?;
        if acted == Acted::Done {
            self.tell_or_log(rack).await;
        }
        Ok(acted)
    }

    /// Does something to a rack. It is to be told next, with [`Ledger::tell_or_log`]: for whoever does it to many racks
    /// and is in a hurry.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub async fn act_untold(&self, rack: &RackName, action: &Action) -> Result<Acted, LedgerError> {
        let key = key::rack(rack);
        for _ in 0..TRIES {
            let Some(mut entry) = self.racks().get(&key).await? else {
                return Ok(Acted::NoRack);
            };
            if !entry.value.act(action) {
                return Ok(Acted::AsItWas);
            }
            let written = self.racks().update(&key, &entry.value, entry.revision);
            if let Written::Done(_) = written.await? {
                return Ok(Acted::Done);
            }
        }
        Err(LedgerError::Busy { key })
    }

    /// Adds a rack and tells it. False when there is one of this name.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub async fn add_rack(
        &self,
        rack: &RackName,
        record: &RackRecord,
    ) -> Result<bool, LedgerError> {
        match self.racks().create(&key::rack(rack), record).await? {
            Written::Conflict => Ok(false),
            Written::Done(_) => {
                self.tell_or_log(rack).await;
                Ok(true)
            }
        }
    }

    /// Takes a rack's record away and tells it.
    ///
    /// # Errors
    /// When it cannot be taken away.
    pub async fn remove_rack(
        &self,
        rack: &RackName,
        by: String,
        why: String,
    ) -> Result<(), LedgerError> {
        // Nobody could read afterwards what was done before.
        self.tell_or_log(rack).await;
        self.racks().delete(&key::rack(rack), None).await?;
        let action = Action {
            at: Timestamp::now(),
            by,
            why,
            deed: Deed::Removed,
        };
        if let Err(error) = self.tell(rack, &action).await {
            tracing::warn!(rack.name = %rack, "that it was removed is told by no event: {error}");
        }
        Ok(())
    }

    /// Tells what is untold of a rack, and says in the log when it cannot.
    pub async fn tell_or_log(&self, rack: &RackName) {
        if let Err(error) = self.tell_actions(rack).await {
            tracing::warn!(
                rack.name = %rack,
                "what was done to it is no event yet; the scheduler tries again: {error}"
            );
        }
    }

    /// Tells what was done to a rack some time ago and is untold, because whoever did it died or could not.
    ///
    /// # Errors
    /// As [`Ledger::tell_actions`].
    pub async fn tell_for_others(
        &self,
        rack: &RackName,
        record: &RackRecord,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let is_late = |action: &Action| now.duration_since(action.at) > TOLD_WITHIN;
        match record.untold.iter().any(is_late) {
            true => self.tell_actions(rack).await,
            false => Ok(()),
        }
    }

    /// Tells what is untold of a rack, and takes it out of the record. Whoever does so at the same time tells the same:
    /// the events have ids of their own.
    ///
    /// # Errors
    /// When it cannot be told, or the record cannot be written.
    pub async fn tell_actions(&self, rack: &RackName) -> Result<(), LedgerError> {
        let key = key::rack(rack);
        let mut told: Vec<Action> = Vec::new();
        for _ in 0..TRIES {
            let Some(mut entry) = self.racks().get(&key).await? else {
                return Ok(());
            };
            if entry.value.untold.is_empty() {
                return Ok(());
            }
            for action in std::mem::take(&mut entry.value.untold) {
                if !told.contains(&action) {
                    self.tell(rack, &action).await?;
                    told.push(action);
                }
            }
            let written = self.racks().update(&key, &entry.value, entry.revision);
            if let Written::Done(_) = written.await? {
                return Ok(());
            }
        }
        Err(LedgerError::Busy { key })
    }

    /// Publishes an action as an event.
    pub(crate) async fn tell(&self, rack: &RackName, action: &Action) -> Result<(), LedgerError> {
        let event = RackEvent {
            rack: rack.clone(),
            action: action.clone(),
        };
        let message = Outgoing::new(event.subject(), event.to_json()).with_id(event.id());
        self.bus().publish(message).await?;
        Ok(())
    }
}
