//! The one table of settings. Everything else about configuration follows from it.

/// One setting: where it may be written, and what holds when it is written nowhere.
pub(crate) struct Setting {
    /// Which.
    pub(crate) key: Key,
    /// Its name in `racktick.toml`, and for `--set`.
    pub(crate) name: &'static str,
    /// Its environment variable.
    pub(crate) variable: &'static str,
    /// Its value when nobody says otherwise.
    pub(crate) default: Option<&'static str>,
    /// Its value is never shown, and `<name>_file` and `<variable>_FILE` name a file that holds it.
    pub(crate) secret: bool,
    /// What it means, and why the default is what it is.
    pub(crate) doc: &'static str,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $key:ident: $name:literal, $variable:literal $(= $default:literal)? $(, $secret:ident)?;)+) => {
        /// The name of a setting inside the program.
        #[allow(clippy::enum_variant_names, reason = "some settings are keys")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Key {
            $($(#[doc = $doc])+ $key,)+
        }

        /// All settings, in the order of the example file.
        pub(crate) const SETTINGS: &[Setting] = &[
            $(Setting {
                key: Key::$key,
                name: $name,
                variable: $variable,
                default: settings!(@default $($default)?),
                secret: settings!(@secret $($secret)?),
                doc: concat!($($doc),+).trim_ascii(),
            },)+
        ];
    };
    (@default $default:literal) => { Some($default) };
    (@default) => { None };
    (@secret secret) => { true };
    (@secret) => { false };
}

settings! {
    /// Whether a manual tick of a rack that was never added runs, with the default policy. It does, because a rack is
    /// only a MAAS tag; `false` makes such a tick a dead letter.
    AdhocRacks: "adhoc_racks", "RACKTICK_ADHOC_RACKS" = "true";
    /// The shortest `every` that `rack add` and `rack set` accept, so that a typed `6m` does not redeploy a lab all day.
    MinEvery: "min_every", "RACKTICK_MIN_EVERY" = "1h";
    /// How long after a POST its job may still appear. Ten times the POST's limit, for what a proxy delivers after
    /// racktick hung up; never below three times that limit.
    Settle: "settle", "RACKTICK_SETTLE" = "5m";
    /// Divides racktick's own waits, for the lab and the demo. 1 is real time.
    Speed: "speed", "RACKTICK_SPEED" = "1";

    /// Where the broker is; several addresses are separated by commas. The default is the broker's own.
    NatsUrl: "nats.url", "NATS_URL" = "nats://127.0.0.1:4222";
    /// A context of the `nats` command: it gives what is set nowhere else. Without one, and without `nats.url`, the
    /// selected context counts.
    NatsContext: "nats.context", "NATS_CONTEXT";
    /// A credentials file (JWT and seed).
    NatsCreds: "nats.creds", "NATS_CREDS";
    /// A file with the seed of an nkey, such as `racktick setup --credentials` writes one for each role.
    NatsNkey: "nats.nkey", "NATS_NKEY";
    /// User name, for a broker that asks for one.
    NatsUser: "nats.user", "NATS_USER";
    /// Its password.
    NatsPassword: "nats.password", "NATS_PASSWORD", secret;
    /// A token, for a broker that asks for one.
    NatsToken: "nats.token", "NATS_TOKEN", secret;
    /// A PEM file with the authority that signed the broker's certificate, unless the system knows it.
    NatsCa: "nats.ca", "NATS_CA";
    /// A PEM file with our own certificate, for a broker that asks for one.
    NatsCert: "nats.cert", "NATS_CERT";
    /// A PEM file with its private key.
    NatsKey: "nats.key", "NATS_KEY";
    /// How the subjects begin on which the broker's answers come, where the user may read others only. A key file of
    /// `racktick setup --credentials` says it itself; otherwise the default is `_INBOX`.
    NatsInboxPrefix: "nats.inbox_prefix", "NATS_INBOX_PREFIX";
    /// On how many servers of a cluster everything is kept: 1, 3 or 5. Unset, what is missing is created with one, and
    /// what is there stays as it is. `racktick setup` applies it.
    NatsReplicas: "nats.replicas", "RACKTICK_REPLICAS";
    /// Where the monitoring of the broker's servers answers, such as `http://nats-1:8222`, separated by commas: only
    /// `racktick doctor` looks there. Unset, it tries port 8222 of every server in `nats.url`.
    NatsMonitoring: "nats.monitoring", "NATS_MONITORING";

    /// Where MAAS is, such as `http://maas.example:5240/MAAS`.
    MaasUrl: "maas.url", "MAAS_URL";
    /// An API key of a MAAS user, three parts with colons between. A user without admin rights is enough.
    MaasApiKey: "maas.api_key", "MAAS_API_KEY", secret;
    /// A PEM file with the authority that signed the certificate of MAAS, unless the system knows it.
    MaasCa: "maas.ca", "MAAS_CA";

    /// Where Testflinger is. The default is the one of Testflinger's own command.
    TestflingerServer: "testflinger.server", "TESTFLINGER_SERVER" = "https://testflinger.canonical.com";
    /// Client id, for restricted queues. Without it jobs are submitted anonymously.
    TestflingerClientId: "testflinger.client_id", "TESTFLINGER_CLIENT_ID";
    /// Its secret key.
    TestflingerSecretKey: "testflinger.secret_key", "TESTFLINGER_SECRET_KEY", secret;
    /// A PEM file with the authority that signed the certificate of Testflinger, unless the system knows it.
    TestflingerCa: "testflinger.ca", "TESTFLINGER_CA";

    /// The worker's name in claims and dead letters. Unset, it is the host's name and the process id.
    WorkerName: "worker.name", "RACKTICK_WORKER_NAME";
    /// Submits, and looks, at work at a time. More than 64 brought nothing in measurements.
    WorkerConcurrency: "worker.concurrency", "RACKTICK_CONCURRENCY" = "64";
    /// The kinds of work taken, of `tick`, `submit` and `watch`. All, because one kind of worker is simpler to run.
    WorkerOnly: "worker.only", "RACKTICK_ONLY" = "tick,submit,watch";
    /// How long begun work may take to finish at shutdown: as long as one HTTP call may take.
    WorkerGrace: "worker.grace", "RACKTICK_GRACE" = "30s";
    /// Threads of the runtime. One is fastest up to a thousand jobs per second; more pay only beyond.
    Threads: "worker.threads", "RACKTICK_THREADS" = "1";

    /// Until a connection to MAAS or Testflinger stands.
    HttpConnect: "http.connect", "RACKTICK_HTTP_CONNECT" = "3s";
    /// From the start of a request until its answer begins.
    HttpFirstByte: "http.first_byte", "RACKTICK_HTTP_FIRST_BYTE" = "30s";
    /// Between two pieces of an answer.
    HttpSilence: "http.silence", "RACKTICK_HTTP_SILENCE" = "30s";
    /// A whole call that is not a list of machines.
    HttpTotal: "http.total", "RACKTICK_HTTP_TOTAL" = "30s";
    /// A whole list of machines: MAAS has no paging and takes its time.
    HttpListTotal: "http.list_total", "RACKTICK_HTTP_LIST_TOTAL" = "5m";
    /// The longest answer that is neither a list nor a result.
    HttpBody: "http.body", "RACKTICK_HTTP_BODY" = "16MiB";
    /// The longest list. 50 MB is normal for a large MAAS; an endless one ends here.
    HttpList: "http.list", "RACKTICK_HTTP_LIST" = "256MiB";
    /// The longest result of a job: it carries the job's whole log.
    HttpResult: "http.result", "RACKTICK_HTTP_RESULT" = "1GiB";

    /// How long events are kept: a month of history. `racktick setup` applies it.
    EventsMaxAge: "events.max_age", "RACKTICK_EVENTS_MAX_AGE" = "30d";
    /// How much room events may take; the oldest go first. `racktick setup` applies it.
    EventsMaxBytes: "events.max_bytes", "RACKTICK_EVENTS_MAX_BYTES" = "2GB";

    /// How long evidence of jobs that did not pass is kept: as long as the events that name it. `racktick setup` applies
    /// it.
    EvidenceMaxAge: "evidence.max_age", "RACKTICK_EVIDENCE_MAX_AGE" = "30d";
    /// How much room evidence may take; the oldest goes first. `racktick setup` applies it.
    EvidenceMaxBytes: "evidence.max_bytes", "RACKTICK_EVIDENCE_MAX_BYTES" = "1GB";

    /// Where `racktick dashboard` serves pages and API. The loopback address: others reach it only when you say so.
    DashboardListen: "dashboard.listen", "RACKTICK_DASHBOARD_LISTEN" = "127.0.0.1:8000";
    /// The dashboard's history file. It can be deleted, and is made anew from the events that the broker still has.
    DashboardHistory: "dashboard.history", "RACKTICK_DASHBOARD_HISTORY" = "racktick-history.sqlite";
    /// How long the history file keeps a cycle and everything about it: the same season of last year, and a month.
    DashboardKeep: "dashboard.keep", "RACKTICK_DASHBOARD_KEEP" = "400d";
    /// The file with the hashes of the tokens with which people and programs sign in to the dashboard;
    /// `racktick dashboard token add` writes it.
    DashboardTokens: "dashboard.tokens", "RACKTICK_DASHBOARD_TOKENS" = "racktick-tokens.toml";
    /// Whether everybody who reaches the dashboard's address may read without signing in.
    DashboardPublicRead: "dashboard.public_read", "RACKTICK_DASHBOARD_PUBLIC_READ" = "false";
    /// The header in which a proxy in front says who its visitor is, such as `X-Forwarded-User`. Unset: people sign in with
    /// tokens alone.
    DashboardProxyHeader: "dashboard.proxy_header", "RACKTICK_DASHBOARD_PROXY_HEADER";
    /// The header in which it says what they may do: `viewer`, `operator` or `admin`. Unset: everybody is a viewer.
    DashboardProxyRoleHeader: "dashboard.proxy_role_header", "RACKTICK_DASHBOARD_PROXY_ROLE_HEADER";
    /// The addresses or networks from which such a header is believed, separated by commas: the proxy's.
    DashboardProxyTrusted: "dashboard.proxy_trusted", "RACKTICK_DASHBOARD_PROXY_TRUSTED";
    /// The names under which the dashboard is reached, separated by commas, besides those of this machine. Unset: on the
    /// loopback address those of this machine alone, on any other all.
    DashboardHosts: "dashboard.hosts", "RACKTICK_DASHBOARD_HOSTS";

    /// Where a worker or a scheduler tells its metrics and health, such as `127.0.0.1:9464`; port 0 is any. Nowhere, unless
    /// this is set: several workers of one machine each need an address of their own.
    MetricsListen: "metrics.listen", "RACKTICK_METRICS_LISTEN";

    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or by part, such as `info,worker=debug`. The NATS
    /// client repeats what racktick says itself. Operator commands log warnings only, unless this is set.
    Log: "log.filter", "RACKTICK_LOG" = "info,async_nats=warn";
    /// `text`, `json`, or `auto`: text on a terminal and JSON lines otherwise.
    LogFormat: "log.format", "RACKTICK_LOG_FORMAT" = "auto";
}

impl Key {
    /// The setting of this name.
    pub(crate) fn setting(self) -> &'static Setting {
        &SETTINGS[self as usize]
    }
}

impl Setting {
    /// The name of the file variant in `racktick.toml`.
    pub(crate) fn file_name(&self) -> String {
        format!("{}_file", self.name)
    }

    /// The variable of the file variant.
    pub(crate) fn file_variable(&self) -> String {
        format!("{}_FILE", self.variable)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_setting_has_a_name_and_a_variable_of_its_own() {
        let names: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        let variables: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.variable).collect();
        assert_eq!(
            (names.len(), variables.len()),
            (SETTINGS.len(), SETTINGS.len())
        );
        for setting in SETTINGS {
            assert_eq!(setting.key.setting().name, setting.name);
        }
    }
}
