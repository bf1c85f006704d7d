//! Configuration: one table of settings, five places to write them, one typed result.

mod context;
mod file;
mod layers;
mod problem;
mod rack;
mod settings;
mod show;
mod source;
mod value;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::name::RackName;
use model::policy::Policy;
use model::speed::Speed;
use secrecy::SecretString;

pub(crate) use layers::Places;
pub(crate) use problem::{ConfigError, Problem, nearest};
pub(crate) use rack::{RackDefaults, ScheduleWords, Shown, set_policy_text};
pub(crate) use settings::{Key, SETTINGS};
pub(crate) use show::{Row, rows};
pub(crate) use value::{Bytes, Kinds, LogFormat, Value, duration};

use layers::Resolved;

/// Every setting, read and checked. What a role cannot do without is checked when the role asks for it.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) adhoc_racks: bool,
    pub(crate) min_every: Duration,
    pub(crate) settle: Duration,
    pub(crate) speed: Speed,
    pub(crate) nats: Nats,
    pub(crate) maas: Maas,
    pub(crate) testflinger: Testflinger,
    pub(crate) worker: Worker,
    pub(crate) http: Http,
    pub(crate) events: Events,
    pub(crate) log: Log,
    pub(crate) policy: Policy,
    pub(crate) racks: BTreeMap<RackName, RackDefaults>,
    pub(crate) warnings: Vec<String>,
}

/// How to reach the broker.
#[derive(Debug)]
pub(crate) struct Nats {
    pub(crate) url: String,
    pub(crate) creds: Option<PathBuf>,
    pub(crate) nkey: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) token: Option<SecretString>,
    pub(crate) ca: Option<PathBuf>,
}

/// How to reach MAAS.
#[derive(Debug)]
pub(crate) struct Maas {
    pub(crate) url: Option<String>,
    pub(crate) api_key: Option<SecretString>,
    pub(crate) ca: Option<PathBuf>,
}

/// How to reach Testflinger.
#[derive(Debug)]
pub(crate) struct Testflinger {
    pub(crate) server: String,
    pub(crate) client_id: Option<String>,
    pub(crate) secret_key: Option<SecretString>,
    pub(crate) ca: Option<PathBuf>,
}

/// What a worker is told.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: Option<String>,
    pub(crate) concurrency: usize,
    pub(crate) only: Kinds,
    pub(crate) grace: Duration,
    pub(crate) threads: usize,
}

/// Limits of HTTP calls, in real time.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) silence: Duration,
    pub(crate) total: Duration,
    pub(crate) list_total: Duration,
    pub(crate) body: Bytes,
    pub(crate) list: Bytes,
    pub(crate) result: Bytes,
}

/// How long events are kept.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) max_age: Duration,
    pub(crate) max_bytes: Bytes,
}

/// How the program logs.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) filter: String,
    /// Whether somebody asked for this filter.
    pub(crate) is_set: bool,
    pub(crate) format: LogFormat,
}

impl Config {
    /// Looks everywhere, reads everything, and reports all that is wrong at once.
    pub(crate) fn load(places: &Places) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let resolved = layers::resolve(places, &mut problems);
        Self::read(resolved, problems)
    }

    /// As [`Config::load`], with the rows that `config show` prints.
    pub(crate) fn load_with_rows(places: &Places) -> Result<(Self, Vec<Row>), ConfigError> {
        let mut problems = Vec::new();
        let resolved = layers::resolve(places, &mut problems);
        let rows = rows(&resolved);
        Self::read(resolved, problems).map(|config| (config, rows))
    }

    fn read(resolved: Resolved, problems: Vec<Problem>) -> Result<Self, ConfigError> {
        let reader = Reader {
            resolved: &resolved,
            problems: RefCell::new(problems),
        };
        let config = reader.config();
        let problems = reader.problems.into_inner();
        match config {
            Some(config) if problems.is_empty() => Ok(Self {
                warnings: resolved.warnings,
                ..config
            }),
            _ => Err(ConfigError(problems)),
        }
    }
}

struct Reader<'a> {
    resolved: &'a Resolved,
    problems: RefCell<Vec<Problem>>,
}

impl Reader<'_> {
    /// A value that may be missing. `None` also when it is wrong, which is noted.
    fn maybe<T: Value>(&self, key: Key) -> Option<T> {
        let given = self.resolved.values.get(&key)?;
        match T::read(&given.text) {
            Ok(value) => Some(value),
            Err(advice) => {
                self.bad(key, advice);
                None
            }
        }
    }

    fn bad(&self, key: Key, advice: impl Into<String>) {
        if let Some(given) = self.resolved.values.get(&key) {
            self.problems.borrow_mut().push(Problem::BadValue {
                name: key.setting().name,
                value: show::shown(key.setting(), &given.text),
                place: given.source.clone(),
                advice: advice.into(),
            });
        }
    }

    fn config(&self) -> Option<Config> {
        // Everything is read before anything is given up, so that all that is wrong is reported together.
        let top = (
            self.maybe(Key::AdhocRacks),
            self.maybe(Key::MinEvery),
            self.maybe(Key::Settle),
            self.maybe(Key::Speed),
        );
        let (nats, testflinger) = (self.nats(), self.testflinger());
        let (worker, http) = (self.worker(), self.http());
        let (events, log) = (self.events(), self.log());
        let (adhoc_racks, min_every, settle, speed) = (top.0?, top.1?, top.2?, top.3?);
        let http = http?;
        if settle < http.total * 3 {
            let least = Shown(http.total * 3);
            let advice = format!(
                "write at least `{least}`: three times `http.total`, or a job may appear after it"
            );
            self.bad(Key::Settle, advice);
        }
        self.racks(min_every);
        Some(Config {
            adhoc_racks,
            min_every,
            settle,
            speed,
            nats: nats?,
            maas: self.maas(),
            testflinger: testflinger?,
            worker: worker?,
            http,
            events: events?,
            log: log?,
            policy: Policy::default().with(&self.resolved.file.policy),
            racks: self
                .resolved
                .file
                .racks
                .iter()
                .map(|(rack, (defaults, _))| (rack.clone(), defaults.clone()))
                .collect(),
            warnings: Vec::new(),
        })
    }

    fn nats(&self) -> Option<Nats> {
        if let Some(given) = self.resolved.values.get(&Key::NatsNkey)
            && show::is_seed(&given.text)
        {
            self.bad(
                Key::NatsNkey,
                "this is the seed itself; put it into a file (mode 0600) and write the file's path",
            );
        }
        Some(Nats {
            url: self.maybe(Key::NatsUrl)?,
            creds: self.maybe(Key::NatsCreds),
            nkey: self.maybe(Key::NatsNkey),
            user: self.maybe(Key::NatsUser),
            password: self.maybe(Key::NatsPassword),
            token: self.maybe(Key::NatsToken),
            ca: self.maybe(Key::NatsCa),
        })
    }

    fn maas(&self) -> Maas {
        Maas {
            url: self.maybe(Key::MaasUrl),
            api_key: self.maybe(Key::MaasApiKey),
            ca: self.maybe(Key::MaasCa),
        }
    }

    fn testflinger(&self) -> Option<Testflinger> {
        let (client_id, secret_key) = (
            self.maybe(Key::TestflingerClientId),
            self.maybe(Key::TestflingerSecretKey),
        );
        let missing = match (&client_id, &secret_key) {
            (Some(_), None) => Some(Key::TestflingerSecretKey),
            (None, Some(_)) => Some(Key::TestflingerClientId),
            _ => None,
        };
        if let Some(key) = missing {
            let setting = key.setting();
            self.problems.borrow_mut().push(Problem::Missing {
                variable: setting.variable,
                name: setting.name,
            });
        }
        Some(Testflinger {
            server: self.maybe(Key::TestflingerServer)?,
            client_id,
            secret_key,
            ca: self.maybe(Key::TestflingerCa),
        })
    }

    fn worker(&self) -> Option<Worker> {
        let (concurrency, only) = (
            self.maybe(Key::WorkerConcurrency),
            self.maybe(Key::WorkerOnly),
        );
        let (grace, threads) = (self.maybe(Key::WorkerGrace), self.maybe(Key::Threads));
        Some(Worker {
            name: self.maybe(Key::WorkerName),
            concurrency: concurrency?,
            only: only?,
            grace: grace?,
            threads: threads?,
        })
    }

    fn http(&self) -> Option<Http> {
        let time = |key| {
            let time: Duration = self.maybe(key)?;
            if time.is_zero() {
                self.bad(key, "write more than zero");
                return None;
            }
            Some(time)
        };
        let times = (
            time(Key::HttpConnect),
            time(Key::HttpFirstByte),
            time(Key::HttpSilence),
            time(Key::HttpTotal),
            time(Key::HttpListTotal),
        );
        let sizes = (
            self.maybe(Key::HttpBody),
            self.maybe(Key::HttpList),
            self.maybe(Key::HttpResult),
        );
        Some(Http {
            connect: times.0?,
            first_byte: times.1?,
            silence: times.2?,
            total: times.3?,
            list_total: times.4?,
            body: sizes.0?,
            list: sizes.1?,
            result: sizes.2?,
        })
    }

    fn events(&self) -> Option<Events> {
        let (max_age, max_bytes) = (
            self.maybe(Key::EventsMaxAge),
            self.maybe(Key::EventsMaxBytes),
        );
        Some(Events {
            max_age: max_age?,
            max_bytes: max_bytes?,
        })
    }

    fn log(&self) -> Option<Log> {
        let filter: String = self.maybe(Key::Log)?;
        if filter
            .parse::<tracing_subscriber::filter::Targets>()
            .is_err()
        {
            self.bad(
                Key::Log,
                "write a level, such as `info`, or levels by part, such as `info,worker=debug`",
            );
        }
        Some(Log {
            filter,
            is_set: self
                .resolved
                .values
                .get(&Key::Log)
                .is_some_and(|given| given.source != source::Source::Default),
            format: self.maybe(Key::LogFormat)?,
        })
    }

    /// Every rack of the file makes a schedule.
    fn racks(&self, min_every: Duration) {
        for (rack, (defaults, place)) in &self.resolved.file.racks {
            if let Err(why) = defaults.schedule.clone().schedule(min_every)
                && let source::Source::File { path, line } = place
            {
                self.problems.borrow_mut().push(Problem::BadEntry {
                    path: path.clone(),
                    line: *line,
                    message: format!("rack {rack}: {why}"),
                });
            }
        }
    }
}
