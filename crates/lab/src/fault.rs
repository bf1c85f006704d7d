//! Faults on request: what goes wrong, where, how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// One kind of trouble, and where and how often it strikes. Unset fields have the defaults of [`Fault::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `maas`, `testflinger`, `all`, an endpoint's name as in the statistics (`POST /v1/job`), or a path's beginning
    /// (`/v1/result`).
    pub target: String,
    /// Only requests with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// Status of a `status` or `html` fault; 503 unless said otherwise.
    #[serde(default)]
    pub status: Option<u16>,
    /// `Retry-After` of a `status` fault, in seconds.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// Waits so many milliseconds first, whatever the kind.
    #[serde(default)]
    pub delay_ms: u64,
    /// How often it strikes; 0 is until it is cleared.
    #[serde(default = "once")]
    pub count: u64,
    /// How many matching requests go well first.
    #[serde(default)]
    pub skip: u64,
    /// Share of the matching requests that it strikes, 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
}

fn once() -> u64 {
    1
}

fn always() -> f64 {
    1.0
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An error status; the work is not done.
    Status,
    /// The answer is late (`delay_ms`) and right.
    Latency,
    /// No answer, the connection stays open; the work is not done.
    Hang,
    /// No answer, the connection stays open; the work is done.
    HangAfter,
    /// The connection is reset (TCP RST); the work is not done.
    ResetBefore,
    /// The connection is reset (TCP RST) after the work was done: the answer is lost.
    ResetAfter,
    /// Half of the body, then the connection ends; the work is done.
    Truncate,
    /// A body that is no JSON; the work is done.
    Malformed,
    /// 200 and `[]`; the work is not done.
    EmptyList,
    /// 200 and `null`; the work is not done.
    Null,
    /// A proxy's HTML page, with 200 or `status`; the work is not done.
    Html,
    /// 200 and a body without an end; the work is not done.
    Endless,
}

impl FaultKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            FaultKind::Status => "status",
            FaultKind::Latency => "latency",
            FaultKind::Hang => "hang",
            FaultKind::HangAfter => "hang_after",
            FaultKind::ResetBefore => "reset_before",
            FaultKind::ResetAfter => "reset_after",
            FaultKind::Truncate => "truncate",
            FaultKind::Malformed => "malformed",
            FaultKind::EmptyList => "empty_list",
            FaultKind::Null => "null",
            FaultKind::Html => "html",
            FaultKind::Endless => "endless",
        }
    }

    /// The request reaches the service.
    pub(crate) fn works(self) -> bool {
        matches!(
            self,
            FaultKind::Latency
                | FaultKind::HangAfter
                | FaultKind::ResetAfter
                | FaultKind::Truncate
                | FaultKind::Malformed
        )
    }
}

impl Fault {
    /// Strikes the next matching request, once and at once.
    pub fn new(target: impl Into<String>, kind: FaultKind) -> Self {
        Self {
            target: target.into(),
            method: None,
            kind,
            status: None,
            retry_after: None,
            delay_ms: 0,
            count: 1,
            skip: 0,
            probability: 1.0,
        }
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    fn matches(&self, place: &Place<'_>) -> bool {
        let here = match self.target.as_str() {
            "all" => true,
            target if target.starts_with('/') => place.path.starts_with(target),
            target => target == place.service || target == place.endpoint,
        };
        here && self
            .method
            .as_deref()
            .is_none_or(|method| method.eq_ignore_ascii_case(place.method))
    }
}

/// Where a request goes.
pub(crate) struct Place<'a> {
    /// `maas` or `testflinger`.
    pub(crate) service: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
}

struct Armed {
    fault: Fault,
    number: u64,
    seen: u64,
    struck: u64,
}

/// The faults to come.
pub(crate) struct Faults {
    chance: Chance,
    armed: Vec<Armed>,
    added: u64,
}

impl Faults {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            chance,
            armed: Vec::new(),
            added: 0,
        }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.added += 1;
        self.armed.push(Armed {
            fault,
            number: self.added,
            seen: 0,
            struck: 0,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The faults that can still strike.
    pub(crate) fn list(&self) -> Vec<&Fault> {
        self.armed.iter().map(|armed| &armed.fault).collect()
    }

    /// The first fault that strikes this request.
    pub(crate) fn strike(&mut self, place: &Place<'_>) -> Option<Fault> {
        let chance = self.chance;
        let position = self.armed.iter_mut().position(|armed| {
            if !armed.fault.matches(place) {
                return false;
            }
            armed.seen += 1;
            let drawn =
                chance.fraction(&["fault", &armed.number.to_string(), &armed.seen.to_string()]);
            armed.seen > armed.fault.skip && drawn < armed.fault.probability
        })?;
        let armed = &mut self.armed[position];
        armed.struck += 1;
        let fault = armed.fault.clone();
        if fault.count != 0 && armed.struck >= fault.count {
            self.armed.remove(position);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit() -> Place<'static> {
        Place {
            service: "testflinger",
            endpoint: "POST /v1/job",
            method: "POST",
            path: "/v1/job",
        }
    }

    fn strikes(fault: Fault, requests: usize) -> Vec<bool> {
        let mut faults = Faults::new(Chance::new(1));
        faults.add(fault);
        (0..requests)
            .map(|_| faults.strike(&submit()).is_some())
            .collect()
    }

    #[test]
    fn a_fault_strikes_after_skipping_and_as_often_as_asked() {
        let fault = Fault {
            skip: 1,
            count: 2,
            ..Fault::new("POST /v1/job", FaultKind::Status)
        };
        assert_eq!(strikes(fault, 4), [false, true, true, false]);
        let fault = Fault {
            count: 0,
            ..Fault::new("all", FaultKind::Status)
        };
        assert_eq!(strikes(fault, 3), [true; 3]);
    }

    #[test]
    fn a_fault_strikes_only_its_target() {
        let hits = |target: &str| strikes(Fault::new(target, FaultKind::Hang), 1)[0];
        assert!(hits("testflinger") && hits("/v1/j") && hits("POST /v1/job"));
        assert!(!hits("maas") && !hits("/v1/result") && !hits("GET /v1/job/{id}"));
        let get = Fault {
            method: Some("get".to_owned()),
            ..Fault::new("all", FaultKind::Hang)
        };
        assert_eq!(strikes(get, 1), [false]);
    }

    #[test]
    fn a_share_of_the_requests_is_struck() {
        let fault = Fault {
            probability: 0.5,
            count: 0,
            ..Fault::new("all", FaultKind::Hang)
        };
        let struck = strikes(fault.clone(), 200)
            .into_iter()
            .filter(|struck| *struck)
            .count();
        assert!((70..130).contains(&struck), "{struck}");
        assert_eq!(strikes(fault.clone(), 50), strikes(fault, 50));
    }
}
