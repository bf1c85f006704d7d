//! The table's runs: every round does each case once, so that what is compared was measured within the same minutes.

use std::collections::BTreeMap;

use broker::Binary;

use crate::arguments::Arguments;
use crate::figures::{Run, Waiting};
use crate::life::Ages;
use crate::racktick;
use crate::raw::{self, Raw};
use crate::report;
use crate::scenarios::{plain, waiting};
use crate::stage::{Shape, Surroundings};
use crate::sync::SyncPolicy;

/// How many machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Size {
    /// 1 rack of 1,000.
    Thousand,
    /// 100 racks of 100.
    TenThousand,
}

/// One policy and size, and what is measured beside one worker and the loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) sync: SyncPolicy,
    pub(crate) size: Size,
    pub(crate) two_workers: bool,
    pub(crate) raw_limit: bool,
    pub(crate) memory: bool,
}

/// What one round brought of a case.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) plain: Run,
    pub(crate) racktick: Run,
    pub(crate) two_workers: Option<Run>,
    pub(crate) raw_limit: Option<Raw>,
    pub(crate) waiting: Option<Waiting>,
}

/// All rounds by policy and size.
pub(crate) type Rounds = BTreeMap<(SyncPolicy, Size), Vec<Round>>;

impl Round {
    /// What was not exactly once.
    pub(crate) fn wrong(&self) -> impl Iterator<Item = &String> {
        let runs = [&self.plain, &self.racktick]
            .into_iter()
            .chain(&self.two_workers);
        let waiting = self.waiting.iter().flat_map(|waiting| &waiting.wrong);
        runs.flat_map(|run| &run.wrong).chain(waiting)
    }
}

impl Size {
    pub(crate) const ALL: [Self; 2] = [Self::Thousand, Self::TenThousand];

    /// Its key in the table.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Thousand => "1000",
            Self::TenThousand => "10000",
        }
    }

    /// The same number in 100 racks, of which the second half shows what a waiting job takes.
    fn waiting(self) -> Shape {
        let machines = match self {
            Self::Thousand => 10,
            Self::TenThousand => 100,
        };
        Shape {
            racks: 100,
            machines,
            looks: 1,
        }
    }

    pub(crate) fn shape(self, looks: u32) -> Shape {
        let (racks, machines) = match self {
            Self::Thousand => (1, 1000),
            Self::TenThousand => (100, 100),
        };
        Shape {
            racks,
            machines,
            looks,
        }
    }
}

/// Those that goals are about.
pub(crate) fn short() -> Vec<Case> {
    let case = |sync, size| Case {
        sync,
        size,
        two_workers: false,
        raw_limit: false,
        memory: false,
    };
    vec![
        case(SyncPolicy::Default, Size::Thousand),
        Case {
            raw_limit: true,
            ..case(SyncPolicy::SyncAlways, Size::Thousand)
        },
        Case {
            two_workers: true,
            memory: true,
            ..case(SyncPolicy::Default, Size::TenThousand)
        },
        case(SyncPolicy::Sync100ms, Size::TenThousand),
    ]
}

/// All of them.
pub(crate) fn full() -> Vec<Case> {
    let of_size = |size| {
        SyncPolicy::ALL.map(|sync| Case {
            sync,
            size,
            two_workers: sync == SyncPolicy::Default,
            raw_limit: true,
            memory: sync == SyncPolicy::Default,
        })
    };
    Size::ALL.into_iter().flat_map(of_size).collect()
}

/// Runs them, round after round.
pub(crate) async fn run(
    cases: &[Case],
    only: &[SyncPolicy],
    rounds: u32,
    arguments: &Arguments,
    binary: &Binary,
) -> anyhow::Result<Rounds> {
    let mut all = Rounds::new();
    for round in 1..=rounds {
        let mut loops = BTreeMap::new();
        for case in cases {
            if !only.is_empty() && !only.contains(&case.sync) {
                continue;
            }
            report::progress(&format!(
                "round {round} of {rounds}: {} machines, {}",
                case.size.key(),
                case.sync.key()
            ));
            let shape = case.size.shape(arguments.looks);
            let beside = match loops.get(&case.size) {
                Some(run) => Run::clone(run),
                None => plain(shape, arguments.loop_threads).await?,
            };
            loops.insert(case.size, beside.clone());
            let done = one(*case, shape, beside, arguments, binary).await?;
            all.entry((case.sync, case.size)).or_default().push(done);
        }
    }
    Ok(all)
}

async fn one(
    case: Case,
    shape: Shape,
    plain: Run,
    arguments: &Arguments,
    binary: &Binary,
) -> anyhow::Result<Round> {
    let with = |workers| Surroundings {
        sync: case.sync,
        workers,
        ages: Ages::REAL,
    };
    let racktick = racktick::run(shape, with(1), arguments, binary).await?;
    let two_workers = match case.two_workers {
        true => Some(racktick::run(shape, with(2), arguments, binary).await?),
        false => None,
    };
    let stored = racktick.broker.map_or(0, |broker| broker.stored);
    let stored = (stored as f64 / racktick.jobs as f64).round() as usize;
    let raw_limit = match case.raw_limit {
        true => {
            let at_once = arguments.concurrency;
            Some(raw::run(case.sync, shape.jobs(), stored, at_once, binary).await?)
        }
        false => None,
    };
    let waiting = match case.memory {
        true => Some(waiting(case.size.waiting(), arguments, binary).await?),
        false => None,
    };
    Ok(Round {
        plain,
        racktick,
        two_workers,
        raw_limit,
        waiting,
    })
}
