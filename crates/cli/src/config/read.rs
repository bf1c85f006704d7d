//! From texts to the typed configuration: every value is read, and all that is wrong with any is noted.

use std::cell::RefCell;
use std::time::Duration;

use bus::topology::Retention;
use dashboard::web::Proxy;
use maas::Limits;
use model::policy::Policy;
use secrecy::SecretString;

use super::layers::Resolved;
use super::source::Source;
use super::value::{self, Bytes, Header, Networks, Value};
use super::{
    Addresses, Config, ConfigError, Dashboard, Key, Log, Maas, Nats, Problem, Shown, Testflinger,
    Worker, show,
};

/// A dashboard that keeps less has nothing to show.
const LEAST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What the texts mean, or everything that is wrong with them besides what is known to be.
pub(super) fn read(resolved: &Resolved, problems: Vec<Problem>) -> Result<Config, ConfigError> {
    let reader = Reader {
        resolved,
        problems: RefCell::new(problems),
    };
    let config = reader.config();
    match (config, reader.problems.into_inner()) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, problems) => Err(ConfigError(problems)),
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
        let (events, log) = (
            self.retention(Key::EventsMaxAge, Key::EventsMaxBytes),
            self.log(),
        );
        let evidence = self.retention(Key::EvidenceMaxAge, Key::EvidenceMaxBytes);
        let dashboard = self.dashboard();
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
            evidence: evidence?,
            dashboard: dashboard?,
            metrics_listen: self.maybe(Key::MetricsListen),
            log: log?,
            policy: Policy::default().with(&self.resolved.file.policy),
            racks: self
                .resolved
                .file
                .racks
                .iter()
                .map(|(rack, (defaults, _))| (rack.clone(), defaults.clone()))
                .collect(),
            otel: self.resolved.otel.clone(),
            warnings: self.resolved.warnings.clone(),
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
        if let Some(given) = self.resolved.values.get(&Key::NatsCreds)
            && show::is_secret(&given.text)
        {
            self.bad(
                Key::NatsCreds,
                "this is the secret itself; put it into a file (mode 0600) and write the file's path",
            );
        }
        let certificate = match (self.maybe(Key::NatsCert), self.maybe(Key::NatsKey)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(bus::Certificate { certificate, key }),
            (Some(_), None) => {
                self.missing(Key::NatsKey);
                None
            }
            (None, Some(_)) => {
                self.missing(Key::NatsCert);
                None
            }
        };
        let inbox_prefix: Option<String> = self.maybe(Key::NatsInboxPrefix);
        if inbox_prefix
            .as_deref()
            .is_some_and(|prefix| !is_prefix(prefix))
        {
            self.bad(
                Key::NatsInboxPrefix,
                "write tokens with dots between, without blanks, `*` and `>`",
            );
        }
        Some(Nats {
            url: Addresses(self.maybe(Key::NatsUrl)?),
            creds: self.maybe(Key::NatsCreds),
            nkey: self.maybe(Key::NatsNkey),
            user: self.maybe(Key::NatsUser),
            password: self.maybe(Key::NatsPassword),
            token: self.maybe(Key::NatsToken),
            ca: self.maybe(Key::NatsCa),
            certificate,
            inbox_prefix,
            replicas: self.maybe(Key::NatsReplicas),
            monitoring: self.maybe(Key::NatsMonitoring),
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
        let client_id: Option<String> = self.maybe(Key::TestflingerClientId);
        let secret_key: Option<SecretString> = self.maybe(Key::TestflingerSecretKey);
        let credentials = match (client_id, secret_key) {
            (None, None) => None,
            (Some(id), Some(secret)) => match testflinger::Credentials::new(&id, &secret) {
                Ok(credentials) => Some(credentials),
                Err(error) => {
                    self.bad(Key::TestflingerSecretKey, error.to_string());
                    None
                }
            },
            (Some(_), None) => {
                self.missing(Key::TestflingerSecretKey);
                None
            }
            (None, Some(_)) => {
                self.missing(Key::TestflingerClientId);
                None
            }
        };
        Some(Testflinger {
            server: self.maybe(Key::TestflingerServer)?,
            credentials,
            ca: self.maybe(Key::TestflingerCa),
        })
    }

    fn missing(&self, key: Key) {
        self.problems.borrow_mut().push(Problem::missing(key));
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

    fn http(&self) -> Option<Limits> {
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
        let size = |key| self.maybe::<Bytes>(key).map(|bytes| bytes.0);
        let sizes = (
            size(Key::HttpBody),
            size(Key::HttpList),
            size(Key::HttpResult),
        );
        Some(Limits {
            connect: times.0?,
            first_byte: times.1?,
            silence: times.2?,
            total: times.3?,
            list_total: times.4?,
            body_bytes: sizes.0?,
            list_bytes: sizes.1?,
            result_bytes: sizes.2?,
        })
    }

    fn retention(&self, age: Key, bytes: Key) -> Option<Retention> {
        let (age, bytes) = (self.maybe(age), self.maybe::<Bytes>(bytes));
        Some(Retention {
            age: age?,
            bytes: bytes?.0,
        })
    }

    fn dashboard(&self) -> Option<Dashboard> {
        let places = (
            self.maybe(Key::DashboardListen),
            self.maybe(Key::DashboardHistory),
        );
        let keep: Option<Duration> = self.maybe(Key::DashboardKeep);
        if keep.is_some_and(|keep| keep < LEAST_KEPT) {
            let advice = "write at least `1d`: what is older is forgotten, and pages show what is kept alone";
            self.bad(Key::DashboardKeep, advice);
        }
        let rules = (
            keep,
            self.maybe(Key::DashboardTokens),
            self.maybe(Key::DashboardPublicRead),
        );
        let (proxy, hosts) = (self.proxy(), self.maybe::<String>(Key::DashboardHosts));
        let hosts = hosts.unwrap_or_default();
        let hosts = hosts.split(',').map(str::trim);
        Some(Dashboard {
            proxy,
            hosts: hosts
                .filter(|host| !host.is_empty())
                .map(str::to_owned)
                .collect(),
            listen: places.0?,
            history: places.1?,
            keep: rules.0?,
            tokens: rules.1?,
            public_read: rules.2?,
        })
    }

    /// A proxy that signs visitors in. Without an address to believe, its header would say nothing; without a header,
    /// the rest would.
    fn proxy(&self) -> Option<Proxy> {
        let user: Option<Header> = self.maybe(Key::DashboardProxyHeader);
        let role: Option<Header> = self.maybe(Key::DashboardProxyRoleHeader);
        let trusted: Option<Networks> = self.maybe(Key::DashboardProxyTrusted);
        let is_given = |key| self.resolved.values.contains_key(&key);
        match is_given(Key::DashboardProxyHeader) {
            true if !is_given(Key::DashboardProxyTrusted) => self.bad(
                Key::DashboardProxyHeader,
                "set `dashboard.proxy_trusted`, too: from nobody else is the header believed",
            ),
            true => {}
            false => {
                for key in [Key::DashboardProxyRoleHeader, Key::DashboardProxyTrusted] {
                    self.bad(key, "set `dashboard.proxy_header`, too, or leave this out");
                }
            }
        }
        Some(Proxy::new(user?.0, role.map(|role| role.0), trusted?.0))
    }

    fn log(&self) -> Option<Log> {
        let filter: String = self.maybe(Key::Log)?;
        if !value::is_log_filter(&filter) {
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
                .is_some_and(|given| given.source != Source::Default),
            format: self.maybe(Key::LogFormat)?,
        })
    }

    /// Every rack of the file makes a schedule and a policy.
    fn racks(&self, min_every: Duration) {
        let file = &self.resolved.file;
        let default = Policy::default().with(&file.policy);
        let bad = |place: Option<&Source>, message: String| {
            if let Some(Source::File { path, line }) = place {
                self.problems.borrow_mut().push(Problem::BadEntry {
                    path: path.clone(),
                    line: *line,
                    message,
                });
            }
        };
        if let Err(error) = plan::policy::check(&default) {
            bad(
                file.policy_sources.values().next(),
                format!("policy: {error}"),
            );
        }
        for (rack, (defaults, place)) in &file.racks {
            if let Err(why) = defaults.schedule.clone().settle(rack, min_every) {
                bad(Some(place), format!("rack {rack}: {why}"));
            }
            if let Err(error) = plan::policy::check(&default.clone().with(&defaults.policy)) {
                bad(Some(place), format!("rack {rack}: {error}"));
            }
        }
    }
}

/// Whether subjects can begin so.
fn is_prefix(text: &str) -> bool {
    text.split('.').all(|token| {
        !token.is_empty()
            && token
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>')
    })
}
