//! What can be done to a running system.

use std::fmt;
use std::time::Duration;

use lab::{Fault as LabFault, FaultKind};

/// A process of racktick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// One of the schedulers, from 1.
    Scheduler(u8),
    /// One of the workers, from 1.
    Worker(u8),
}

impl Role {
    /// All that run.
    pub(crate) const ALL: [Self; 5] = [
        Self::Scheduler(1),
        Self::Scheduler(2),
        Self::Worker(1),
        Self::Worker(2),
        Self::Worker(3),
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduler(number) => write!(f, "scheduler-{number}"),
            Self::Worker(number) => write!(f, "worker-{number}"),
        }
    }
}

/// A way for a connection to the broker to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cable {
    /// Connections end, and new ones are not accepted.
    Cut,
    /// Nothing passes, and nobody is told.
    Stall,
    /// The way to the broker ends; the way back stays open.
    HalfCloseOut,
    /// The way from the broker ends; the way to it stays open.
    HalfCloseIn,
}

/// One kind of harm, to one part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// SIGKILL of a role; it is started again afterwards.
    Kill(Role),
    /// SIGSTOP of a role, SIGCONT afterwards.
    Pause(Role),
    /// SIGKILL of a broker; it is started again with its store afterwards.
    KillBroker(Node),
    /// A clean end of a broker; it is started again with its store afterwards.
    RestartBroker(Node),
    /// One broker of a cluster and the others do not reach each other; clients reach all of them.
    CutOffBroker(Node),
    /// All brokers of a cluster end cleanly and start again, one after the other.
    RollingRestart,
    /// The connections of a role.
    Cable(Role, Cable),
    /// Requests to the lab, for a while.
    Lab(&'static str, LabFault),
    /// The lab forgets a job: the share of the list of live jobs says which.
    ForgetJob(f64),
    /// The lab's agents start again and have forgotten the jobs they ran.
    RestartAgents,
}

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// There is one only.
    Only,
    /// The one that leads most streams at that moment.
    Leader,
    /// One that is not the leader: the first or the second.
    Follower(u8),
}

impl Fault {
    /// The kind under which it is counted.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Kill(Role::Scheduler(_)) => "scheduler_killed",
            Self::Kill(Role::Worker(_)) => "worker_killed",
            Self::Pause(Role::Scheduler(_)) => "scheduler_paused",
            Self::Pause(Role::Worker(_)) => "worker_paused",
            Self::KillBroker(Node::Only) => "broker_killed",
            Self::KillBroker(Node::Leader) => "broker_leader_killed",
            Self::KillBroker(Node::Follower(_)) => "broker_follower_killed",
            Self::RestartBroker(_) => "broker_restarted",
            Self::CutOffBroker(_) => "broker_cut_off",
            Self::RollingRestart => "brokers_restarted_in_turn",
            Self::Cable(_, Cable::Cut) => "connection_cut",
            Self::Cable(_, Cable::Stall) => "connection_stalled",
            Self::Cable(_, Cable::HalfCloseOut | Cable::HalfCloseIn) => "connection_half_closed",
            Self::Lab(kind, _) => kind,
            Self::ForgetJob(_) => "lab_job_forgotten",
            Self::RestartAgents => "lab_agents_restarted",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Self::Kill(role) | Self::Pause(role) | Self::Cable(role, _) => write!(f, " {role}"),
            Self::Lab(_, fault) => {
                write!(f, " {:.0}% of {}", fault.probability * 100.0, fault.target)
            }
            _ => Ok(()),
        }
    }
}

/// The lab's own kinds, each with a name to be counted under. Every one of them strikes a share of the requests for as
/// long as it is armed.
pub(crate) fn lab_faults() -> Vec<(&'static str, LabFault)> {
    let kind = |kind| LabFault {
        count: 0,
        ..LabFault::new("all", kind)
    };
    let status = |status| LabFault {
        status: Some(status),
        ..kind(FaultKind::Status)
    };
    vec![
        ("lab_500", status(500)),
        ("lab_502", status(502)),
        (
            "lab_503_retry_after",
            LabFault {
                retry_after: Some(1),
                ..status(503)
            },
        ),
        ("lab_hang", kind(FaultKind::Hang)),
        ("lab_hang_after", kind(FaultKind::HangAfter)),
        ("lab_reset_before", kind(FaultKind::ResetBefore)),
        ("lab_reset_after", kind(FaultKind::ResetAfter)),
        ("lab_truncated", kind(FaultKind::Truncate)),
        ("lab_malformed", kind(FaultKind::Malformed)),
        ("lab_html", kind(FaultKind::Html)),
        ("lab_token_refused", status(401)),
        (
            "lab_slow",
            LabFault {
                delay_ms: Duration::from_millis(700).as_millis() as u64,
                ..kind(FaultKind::Latency)
            },
        ),
    ]
}
