//! Calls to MAAS and Testflinger.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rest::Observer;

use super::register_seconds;

/// One agent answers in milliseconds, a list of all machines takes minutes.
const TOOK: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 300.0,
];

/// Whom a worker calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// MAAS.
    Maas,
    /// Testflinger.
    Testflinger,
}

impl Remote {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maas => "maas",
            Self::Testflinger => "testflinger",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    remote: &'static str,
    endpoint: &'static str,
    class: &'static str,
}

type Durations = Family<OfCall, Histogram, fn() -> Histogram>;

pub(super) struct Calls {
    took: Durations,
}

#[derive(Debug)]
pub(super) struct CallsTo {
    remote: Remote,
    took: Durations,
}

impl Calls {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let took = Durations::new_with_constructor(|| Histogram::new(TOOK));
        register_seconds(
            registry,
            "http_request_duration",
            "From a request to the end of its answer, by the class of its status or the cause of its error",
            took.clone(),
        );
        Self { took }
    }

    pub(super) fn of(&self, remote: Remote) -> CallsTo {
        CallsTo {
            remote,
            took: self.took.clone(),
        }
    }
}

impl Observer for CallsTo {
    fn called(&self, endpoint: &'static str, class: &'static str, took: Duration) {
        let label = OfCall {
            remote: self.remote.as_str(),
            endpoint,
            class,
        };
        self.took.get_or_create(&label).observe(took.as_secs_f64());
    }
}
