#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! A real nats-server as a child. It is fetched into the workspace's cache when it is not there.

use std::fs;
use std::path::{Path, PathBuf};

use broker::{Binary, Options, Port, Server, VERSION};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache")
}

fn binary() -> Binary {
    match std::env::var_os("RACKTICK_TEST_NATS_SERVER") {
        Some(path) => Binary::at(path),
        None => Binary::find(&cache()).unwrap(),
    }
}

fn options(folder: &TempDir) -> Options {
    Options {
        port: Port::Free,
        folder: folder.path().into(),
        config: None,
        own_group: true,
    }
}

fn port(server: &Server) -> u16 {
    server.url().rsplit(':').next().unwrap().parse().unwrap()
}

async fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

#[test]
fn several_at_once_fetch_one_program() {
    let cache = tempfile::tempdir().unwrap();
    let fetches: Vec<_> = (0..3)
        .map(|_| {
            let cache = cache.path().to_owned();
            std::thread::spawn(move || Binary::find(&cache).unwrap())
        })
        .collect();
    let binaries: Vec<Binary> = fetches
        .into_iter()
        .map(|fetch| fetch.join().unwrap())
        .collect();
    assert!(binaries.iter().all(|binary| *binary == binaries[0]));
    let version = std::process::Command::new(binaries[0].path())
        .arg("--version")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&version.stdout).trim(),
        format!("nats-server: v{VERSION}")
    );
    let mut left: Vec<_> = fs::read_dir(cache.path().join(format!("nats-server-{VERSION}")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["lock", "nats-server"]);
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_and_a_stopped_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(binary(), options(&folder)).await.unwrap();
    let first = port(&server);
    assert!(answers(first).await && server.is_running());
    server.kill().await.unwrap();
    assert!(!answers(first).await && !server.is_running());
    server.restart().await.unwrap();
    assert!(answers(first).await && port(&server) == first);
    server.stop().await.unwrap();
    assert!(!answers(first).await);
    server.restart().await.unwrap();
    assert!(answers(first).await);
    assert!(folder.path().join("data/jetstream").is_dir());
}

#[tokio::test]
async fn a_server_ends_with_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(binary(), options(&folder)).await.unwrap();
    let port = port(&server);
    drop(server);
    let gone = async {
        while answers(port).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bad.conf");
    fs::write(&config, "jetstream { no such thing\n").unwrap();
    let options = Options {
        config: Some(config),
        ..options(&folder)
    };
    let error = Server::start(binary(), options.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it ended with") && error.contains("Parse error on line 1"),
        "{error}"
    );
    let error = Server::start(Binary::at("/nowhere/nats-server"), options)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "/nowhere/nats-server cannot be run");
}

#[tokio::test]
async fn the_configuration_for_one_node_runs_anywhere_twice() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../nats/server.conf")
        .canonicalize()
        .unwrap();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut servers = Vec::new();
    for folder in &folders {
        let options = Options {
            config: Some(config.clone()),
            ..options(folder)
        };
        servers.push(Server::start(binary(), options).await.unwrap());
        assert!(folder.path().join("data/jetstream").is_dir());
    }
    for (mut server, folder) in servers.into_iter().zip(&folders) {
        let state = monitored(folder.path()).await;
        assert!(
            state.contains("\"sync_always\": true")
                && state.contains("\"max_storage\": 10737418240"),
            "{state}"
        );
        server.stop().await.unwrap();
    }
}

/// What the server in this folder says on its monitoring port.
async fn monitored(folder: &Path) -> String {
    let ports = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let ports = ports
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "ports"))
        .unwrap();
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(ports).unwrap()).unwrap();
    let address = ports["monitoring"][0]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /varz HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
