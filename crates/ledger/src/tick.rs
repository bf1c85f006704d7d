//! A tick that a person asks for.

use std::time::Duration;

use bus::BusError;
use model::id::CycleId;
use model::name::RackName;
use model::subject::Subject;
use model::task::Tick;
use uuid::Uuid;

use crate::{Ledger, outgoing};

/// A tick to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickRequest {
    /// The rack.
    pub rack: RackName,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// The time over which the submits leave, instead of the policy's.
    pub spread: Option<Duration>,
    /// Whether lists that are suddenly much smaller are believed.
    pub accept_shrink: bool,
}

impl TickRequest {
    /// A tick with nothing said but the rack and who asks.
    pub fn of(rack: RackName, by: impl Into<String>) -> Self {
        Self {
            rack,
            by: by.into(),
            reason: None,
            spread: None,
            accept_shrink: false,
        }
    }
}

impl Ledger {
    /// Publishes a tick and says which cycle it is. The cycle's id follows from the nonce chosen here, so that publishing
    /// again after a lost answer is still the same tick, and whoever asked can find the cycle.
    ///
    /// # Errors
    /// When the broker does not say that it is stored; it may be all the same.
    pub async fn tick(&self, request: &TickRequest) -> Result<CycleId, BusError> {
        let nonce = Uuid::new_v4();
        let cycle = CycleId::of_request(&request.rack, nonce);
        let tick = Tick {
            rack: request.rack.clone(),
            reason: request.reason.clone(),
            by: Some(request.by.clone()),
            spread: request.spread,
            accept_shrink: request.accept_shrink,
            nonce: Some(nonce),
            resume: None,
        };
        let message = outgoing(Subject::Tick, &tick)
            .with_id(cycle.to_string())
            .of_cycle(cycle);
        self.bus().publish(message).await?;
        Ok(cycle)
    }
}
