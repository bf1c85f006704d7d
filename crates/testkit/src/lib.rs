#![doc = include_str!("../README.md")]

mod broker_line;
mod cluster;
mod late_line;
mod routes;
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use async_nats::RequestErrorKind;
use broker::{Binary, Options, Port, Server, VERSION};
use bus::access::{self, KeyFile, Role};
use bus::topology::{Retention, Topology, setup};
use bus::{Bus, Connect, Credentials};
use model::subject::{filter, stream};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use tracing_subscriber::EnvFilter;

pub use broker_line::{BrokerLine, Failure, Published};
pub use cluster::Cluster;
pub use late_line::LateLine;

/// Tests run on small machines: the server must not make its limits from the free space of the disk.
const LIMITS: &str = "jetstream { max_file_store: 10GB, max_memory_store: 256MB }\n";

/// Where the keys of a server with roles lie, below its folder.
const KEYS: &str = "keys";

/// Log lines to the test's output, and the TLS provider. May be called any number of times.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        // A test program may have its own of either.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init();
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Waits until the condition holds.
///
/// # Panics
/// When it does not hold within the deadline; `what` says what was waited for.
pub async fn until(deadline: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !holds().await {
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A nats-server for one test.
pub struct Broker {
    server: Server,
    folder: TempDir,
}

impl Broker {
    /// Starts one that syncs to disk as rarely as the server's default: a SIGKILL loses nothing either way, and it is
    /// faster.
    ///
    /// # Panics
    /// When there is none to start.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts one with more lines in its configuration.
    ///
    /// # Panics
    /// When there is none to start.
    pub async fn start_with(config: &str) -> Self {
        Self::start_in(
            tempfile::tempdir().expect("a folder for the broker"),
            config,
        )
        .await
    }

    /// Starts one with a user for every role: it includes what `racktick setup --credentials` makes.
    ///
    /// # Panics
    /// When there is none to start.
    pub async fn start_with_roles() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the broker");
        access::make(&folder.path().join(KEYS), &[]).expect("keys are made");
        Self::start_in(
            folder,
            &format!("include \"{KEYS}/server/authorization.conf\""),
        )
        .await
    }

    /// Starts one in a folder that holds what its configuration names.
    ///
    /// # Panics
    /// When there is none to start.
    pub async fn start_in(folder: TempDir, config: &str) -> Self {
        prepare();
        let file = folder.path().join("server.conf");
        let text = if config.contains("jetstream") {
            config.to_owned()
        } else {
            format!("{LIMITS}{config}\n")
        };
        std::fs::write(&file, text).expect("the broker's configuration is written");
        let options = Options {
            port: Port::Free,
            folder: folder.path().into(),
            config: Some(file),
            own_group: false,
        };
        let server = Server::start(binary().await, options)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self { server, folder }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Its folder: `data`, `server.conf` and `nats-server.log`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new connection to a server on which everything is set up as declared.
    ///
    /// # Panics
    /// When that fails.
    pub async fn bus(&self) -> Bus {
        let bus = self.connect().await;
        setup(&bus, &Topology::declared(Retention::default()))
            .await
            .expect("the topology is set up");
        bus
    }

    /// A new connection, with nothing set up.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect(&self) -> Bus {
        connect(self.url()).await
    }

    /// The key file of a role, on a server with roles.
    pub fn key_file(&self, role: Role) -> PathBuf {
        self.folder()
            .join(KEYS)
            .join(role.name())
            .join(format!("{role}.nk"))
    }

    /// How a role connects to a server with roles.
    ///
    /// # Panics
    /// When it has no key.
    pub fn connect_as(&self, role: Role) -> Connect {
        let text = std::fs::read_to_string(self.key_file(role)).expect("the role has a key file");
        let key = KeyFile::parse(&text).expect("a key file holds a key");
        Connect {
            wait: Duration::from_secs(10),
            credentials: Some(Credentials::Nkey(key.seed)),
            inbox_prefix: key.role.map(Role::inbox_prefix),
            ..Connect::to(self.url(), format!("test {role}"))
        }
    }

    /// A new connection as a role, to a server with roles.
    ///
    /// # Panics
    /// When that fails.
    pub async fn bus_as(&self, role: Role) -> Bus {
        Bus::connect(&self.connect_as(role))
            .await
            .expect("the broker of the test lets the role in")
    }

    /// A line to it, and a connection over that line, of which nothing is counted yet. The streams must be there.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect_by_line(&self) -> (BrokerLine, Bus) {
        let line = BrokerLine::to(&self.url()).await;
        let bus = connect(line.url()).await;
        // A request on a connection that is only just made may be made twice.
        let nothing = bus.subjects(stream::TASK, filter::SUBMITS).await;
        nothing.expect("the broker of the test answers");
        line.count_from_now();
        (line, bus)
    }

    /// Publishes and waits for the answer, as any NATS client would.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn request(&self, subject: &str, body: impl Into<Vec<u8>>) -> Vec<u8> {
        let client = async_nats::connect(self.url())
            .await
            .expect("the broker of the test is reached");
        let answer = client.request(subject.to_owned(), body.into().into()).await;
        answer
            .unwrap_or_else(|error| panic!("{subject}: {error}"))
            .payload
            .to_vec()
    }

    /// Whether anybody listens on a subject.
    ///
    /// # Panics
    /// When the server cannot be asked.
    pub async fn is_heard(&self, subject: &str) -> bool {
        let client = async_nats::connect(self.url())
            .await
            .expect("the broker of the test is reached");
        let asked = client.request(subject.to_owned(), "".into()).await;
        // A server says at once that nobody listens; that nobody answers is found out by waiting.
        !matches!(asked, Err(error) if error.kind() == RequestErrorKind::NoResponders)
    }

    /// Publishes a schedule, as any NATS client would.
    ///
    /// # Panics
    /// When the broker refuses it.
    pub async fn schedule(&self, subject: &str, body: &str, when: &str, target: &str) {
        let client = async_nats::connect(self.url())
            .await
            .expect("the broker of the test is reached");
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Schedule", when);
        headers.insert("Nats-Schedule-Target", target);
        let answer = client
            .request_with_headers(subject.to_owned(), headers, body.to_owned().into())
            .await;
        let answer = answer.unwrap_or_else(|error| panic!("{subject}: {error}"));
        let text = String::from_utf8_lossy(&answer.payload);
        assert!(!text.contains("error"), "{subject}: {text}");
    }

    /// Makes it read its configuration again.
    ///
    /// # Panics
    /// When it cannot be told.
    pub async fn reload(&self) {
        let process = self.server.process().expect("the broker runs");
        let told = Command::new(binary().await.path())
            .args(["--signal", &format!("reload={process}")])
            .output()
            .await
            .expect("nats-server runs");
        assert!(told.status.success(), "{told:?}");
    }

    /// From now on whatever it writes to its disk fails, as on one that is full, broken or read-only; or writes work
    /// again. A limit of the process, which needs no rights.
    ///
    /// # Panics
    /// When the limit cannot be set.
    #[cfg(target_os = "linux")]
    pub fn break_disk(&self, broken: bool) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let process = self.server.process().expect("the broker runs");
        let process = i32::try_from(process).ok().and_then(Pid::from_raw);
        let limit = Rlimit {
            current: broken.then_some(0),
            maximum: None,
        };
        prlimit(process, Resource::Fsize, limit).expect("the limit is set");
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// When that fails.
    pub async fn kill_9(&mut self) {
        self.server.kill().await.expect("the broker is killed");
    }

    /// Starts it again, on the same port and with the same data.
    ///
    /// # Panics
    /// When that fails.
    pub async fn restart(&mut self) {
        self.server
            .restart()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

async fn connect(urls: String) -> Bus {
    let connect = Connect {
        wait: Duration::from_secs(10),
        ..Connect::to(urls, "test")
    };
    Bus::connect(&connect)
        .await
        .expect("the broker of the test is reached")
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("this crate is two folders below the root")
        .into()
}

/// The `nats-server` to test with: the program that `RACKTICK_TEST_NATS_SERVER` names, or the pinned version that
/// `RACKTICK_TEST_NATS_VERSION` names, or the default one.
///
/// # Panics
/// When it is not there and cannot be fetched.
pub async fn binary() -> Binary {
    if let Some(path) = std::env::var_os("RACKTICK_TEST_NATS_SERVER") {
        return Binary::at(path);
    }
    let version = std::env::var("RACKTICK_TEST_NATS_VERSION").unwrap_or(VERSION.into());
    let cache = workspace().join(".cache");
    let found = tokio::task::spawn_blocking(move || Binary::find_version(&cache, &version))
        .await
        .expect("looking for it does not panic");
    found.unwrap_or_else(|error| panic!("{error}"))
}
