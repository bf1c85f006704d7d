//! `rack.tick`: one tick becomes one cycle. Everything it decides is frozen in the cycle's record before anything
//! leaves, so a redelivery, however late, goes on with the same decisions.

mod fan_out;
mod identity;
mod record;

use std::sync::Arc;

use bus::Written;
use bus::runtime::{Delivery, TaskError};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::cycle::{CycleRecord, Fate, MissedCause, Origin};
use model::event::{Event, Fact};
use model::policy::Policy;
use model::rack::RackRecord;
use model::subject::{Subject, key};
use model::task::{Resume, Tick};
use plan::slots::Slots;

use crate::inputs::{Sources, Unreadable};
use crate::settings::Settings;
use crate::trouble::{Trouble, UNKNOWN_TAG, broker_again};
use identity::identify;

/// Starts cycles.
pub struct Handler {
    ledger: Ledger,
    sources: Arc<Sources>,
    settings: Arc<Settings>,
}

impl bus::runtime::Handler<Tick> for Handler {
    async fn handle(&self, tick: Tick, delivery: &Delivery) -> Result<(), TaskError> {
        let identity = identify(&tick, delivery)?;
        bus::runtime::part_of(&identity.cycle.traceparent());
        let broker = broker_again(delivery.attempt);
        let record = match self
            .ledger
            .cycle(&tick.rack, identity.cycle)
            .await
            .map_err(&broker)?
        {
            Some(record) => record,
            None => match self.begin(&tick, &identity, delivery).await? {
                Some(record) => record,
                None => return Ok(()),
            },
        };
        self.carry_out(&record).await.map_err(&broker)
    }
}

impl Handler {
    /// A handler on these.
    pub fn new(ledger: Ledger, sources: Arc<Sources>, settings: Arc<Settings>) -> Self {
        Self {
            ledger,
            sources,
            settings,
        }
    }

    /// Makes the cycle's record. `None` when this attempt failed and a later one is armed.
    async fn begin(
        &self,
        tick: &Tick,
        identity: &Resume,
        delivery: &Delivery,
    ) -> Result<Option<CycleRecord>, TaskError> {
        let broker = broker_again(delivery.attempt);
        let rack = self.ledger.rack(&tick.rack).await.map_err(&broker)?;
        if rack.is_none() && !self.settings.adhoc_racks && !identity.is_slot() {
            return Err(TaskError::reject(format!(
                "rack {} was never added, and adhoc_racks is off: `racktick rack add {}`",
                tick.rack, tick.rack
            )));
        }
        if let Some(spread) = tick.spread {
            let policy = Policy {
                spread,
                ..self.settings.policy_of(rack.as_ref())
            };
            plan::policy::check(&policy).map_err(|error| {
                TaskError::reject(format!("the tick's spread cannot be used: {error}"))
            })?;
        }
        let now = Timestamp::now();
        if let Some(fate) = self.overtaken(tick, identity, rack.as_ref(), delivery, now)? {
            return self
                .freeze(tick, identity, fate)
                .await
                .map(Some)
                .map_err(&broker);
        }
        if identity.attempt <= 1 {
            let fact = Fact::CycleStarted {
                origin: identity.origin.clone(),
            };
            self.publish(tick, identity, identity.ticked_at, fact)
                .await
                .map_err(&broker)?;
        }
        match self.plan(tick, identity, rack.as_ref(), now).await {
            Ok(fate) => self
                .freeze(tick, identity, fate)
                .await
                .map(Some)
                .map_err(&broker),
            Err(Unreadable::Broker(error)) => Err(broker(error)),
            Err(Unreadable::Remote(trouble)) => self
                .put_off(tick, identity, rack.as_ref(), &trouble)
                .await
                .map_err(&broker),
        }
    }

    /// What a tick leads to without reading anything: nothing, when its time is over or nobody wants it any more.
    fn overtaken(
        &self,
        tick: &Tick,
        identity: &Resume,
        rack: Option<&RackRecord>,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Option<Fate>, TaskError> {
        let missed = |cause| Ok(Some(Fate::Missed { cause }));
        let slots = match rack {
            Some(rack) => Some(self.slots(tick, rack)?),
            None => None,
        };
        if let Origin::Slot { slot } = identity.origin {
            let (Some(rack), Some(slots)) = (rack, &slots) else {
                return missed(MissedCause::Removed);
            };
            if rack.paused.is_some() {
                return missed(MissedCause::Paused);
            }
            if !slots.contains(slot) {
                return missed(MissedCause::Rescheduled);
            }
        }
        let policy = self.settings.policy_of(rack);
        let (since, period) = match identity.origin {
            Origin::Slot { slot } => (slot, slots.map(|slots| slots.period())),
            // The broker's clock, not that of whoever sent it.
            Origin::Manual { .. } => (delivery.stored_at, None),
        };
        let catch_up = plan::slots::catch_up(&policy, period);
        if identity.attempt <= 1 {
            let late = now > plan::slots::later(since, catch_up);
            return if late {
                missed(MissedCause::Late)
            } else {
                Ok(None)
            };
        }
        // An attempt that waited for so long that no worker can have been there.
        let window = plan::retry::tick_window(period, self.settings.speed).saturating_add(catch_up);
        let late = now > plan::slots::later(identity.ticked_at, window);
        Ok(late.then(|| Fate::Failed {
            cause: MissedCause::Late.as_str().into(),
            message: "no worker took up the next attempt in time".into(),
            attempts: identity.attempt.saturating_sub(1),
            at: now,
        }))
    }

    fn slots(&self, tick: &Tick, rack: &RackRecord) -> Result<Slots, TaskError> {
        Slots::new(&rack.schedule, &tick.rack).map_err(|error| {
            TaskError::reject(format!(
                "the schedule of rack {} is unusable: {error}",
                tick.rack
            ))
        })
    }

    async fn publish(
        &self,
        tick: &Tick,
        identity: &Resume,
        time: Timestamp,
        fact: Fact,
    ) -> Result<(), LedgerError> {
        self.ledger
            .publish(&Event {
                time,
                rack: tick.rack.clone(),
                cycle: identity.cycle,
                fact,
            })
            .await
    }

    /// Creates the cycle's record; the one that is there already counts.
    async fn freeze(
        &self,
        tick: &Tick,
        identity: &Resume,
        fate: Fate,
    ) -> Result<CycleRecord, LedgerError> {
        let record = CycleRecord {
            v: CycleRecord::VERSION,
            rack: tick.rack.clone(),
            cycle: identity.cycle,
            origin: identity.origin.clone(),
            ticked_at: identity.ticked_at,
            fate,
            outcomes: Default::default(),
            settled_at: None,
            closed: false,
        };
        let key = key::cycle(&tick.rack, identity.cycle);
        match self.ledger.cycles().create(&key, &record).await? {
            Written::Done(_) => Ok(record),
            Written::Conflict => match self.ledger.cycle(&tick.rack, identity.cycle).await? {
                Some(record) => Ok(record),
                // It exists, and a read that does not see it lags behind: never plan anew.
                None => Err(LedgerError::Busy { key }),
            },
        }
    }

    /// The attempt failed: it is tried again later under the same identity, or given up for good.
    async fn put_off(
        &self,
        tick: &Tick,
        identity: &Resume,
        rack: Option<&RackRecord>,
        trouble: &Trouble,
    ) -> Result<Option<CycleRecord>, LedgerError> {
        let attempt = identity.attempt;
        tracing::warn!(rack.name = %tick.rack, cycle.id = %identity.cycle, attempt, cause = trouble.cause, "{trouble}");
        match self.next_attempt(tick, identity, rack, trouble) {
            Some(next_at) => {
                let fact = Fact::CycleRetrying {
                    attempt,
                    cause: trouble.cause.into(),
                    message: trouble.message.clone(),
                    next_at,
                };
                self.publish(tick, identity, Timestamp::now(), fact).await?;
                let next = Tick {
                    resume: Some(Resume {
                        attempt: attempt.saturating_add(1),
                        ..identity.clone()
                    }),
                    ..tick.clone()
                };
                let wait = Subject::Retry {
                    rack: tick.rack.clone(),
                    cycle: identity.cycle,
                };
                self.ledger
                    .bus()
                    .publish(ledger::outgoing(wait, &next).at(next_at, Subject::Tick))
                    .await?;
                Ok(None)
            }
            None => {
                let (cause, message) = (trouble.cause.into(), trouble.message.clone());
                let fate = Fate::Failed {
                    cause,
                    message,
                    attempts: attempt,
                    at: Timestamp::now(),
                };
                self.freeze(tick, identity, fate).await.map(Some)
            }
        }
    }

    fn next_attempt(
        &self,
        tick: &Tick,
        identity: &Resume,
        rack: Option<&RackRecord>,
        trouble: &Trouble,
    ) -> Option<Timestamp> {
        // Nobody said that this rack exists, and MAAS says that it does not: no attempt will change that.
        if rack.is_none() && trouble.cause == UNKNOWN_TAG {
            return None;
        }
        let period = match (&identity.origin, rack) {
            (Origin::Slot { .. }, Some(rack)) => {
                plan::slots::Slots::new(&rack.schedule, &tick.rack)
                    .ok()
                    .map(|slots| slots.period())
            }
            _ => None,
        };
        let window = plan::retry::tick_window(period, self.settings.speed);
        plan::retry::next_tick_attempt(
            identity.ticked_at,
            identity.attempt,
            Timestamp::now(),
            window,
            trouble.retry_after,
            self.settings.speed,
        )
    }
}
