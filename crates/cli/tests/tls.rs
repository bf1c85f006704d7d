#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Everything behind TLS with an authority of the lab's own, and a broker that asks for our certificate.

mod program;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lab::{Lab, LabConfig};
use program::Place;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::{Broker, until};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const SOON: Duration = Duration::from_secs(60);

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(authority, key).unwrap())
    }

    fn sign(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut wanted = CertificateParams::new(names).unwrap();
        wanted.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate: wanted.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Identity {
    fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), &self.certificate).unwrap();
        std::fs::write(folder.join(format!("{name}-key.pem")), &self.key).unwrap();
    }
}

/// Listens with TLS, and hands on what comes.
async fn front(identity: &Identity, behind: SocketAddr) -> String {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not believe the certificate hangs up here.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut behind = TcpStream::connect(behind).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    format!("https://localhost:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_maas_and_testflinger_behind_tls_with_an_authority_of_their_own() {
    testkit::prepare();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.sign(
        &["localhost", "127.0.0.1"],
        ExtendedKeyUsagePurpose::ServerAuth,
    );
    let folder = tempfile::tempdir().unwrap();
    server.write(folder.path(), "server");
    std::fs::write(folder.path().join("ca.pem"), authority.0.pem()).unwrap();
    let broker = Broker::start_in(
        folder,
        "tls { cert_file: server.pem, key_file: server-key.pem, ca_file: ca.pem, verify: true }",
    )
    .await;
    let config = LabConfig {
        racks: 1,
        machines: 3,
        speed: 300.0,
        ..LabConfig::default()
    };
    let lab = Lab::start_on_free_port(config).await.unwrap();
    let address = front(&server, lab.address()).await;

    let place = || {
        let place = Place::new();
        let at = |name: &str| place.path().join(name).display().to_string();
        let files = [
            "ca.pem",
            "other-ca.pem",
            "me.pem",
            "me-key.pem",
            "other.pem",
            "other-key.pem",
        ]
        .map(at);
        std::fs::write(&files[0], authority.0.pem()).unwrap();
        std::fs::write(&files[1], stranger.0.pem()).unwrap();
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        authority
            .sign(&["racktick"], purpose.clone())
            .write(place.path(), "me");
        stranger
            .sign(&["racktick"], purpose)
            .write(place.path(), "other");
        let mut place = place;
        for (name, value) in lab::environment(lab.config(), lab.address()) {
            place = place.env(&name, value);
        }
        place
            .env("NATS_URL", broker.url().replace("nats://", "tls://"))
            .env("NATS_CA", "ca.pem")
            .env("NATS_CERT", "me.pem")
            .env("NATS_KEY", "me-key.pem")
            .env("MAAS_URL", format!("{address}/MAAS/"))
            .env("MAAS_CA", "ca.pem")
            .env("TESTFLINGER_SERVER", &address)
            .env("TESTFLINGER_CA", "ca.pem")
            .env("RACKTICK_LOG", "warn")
    };

    // A whole cycle.
    let good = place();
    good.run(&["setup"]).with_code(0);
    good.run(&["doctor", "r1"]).with_code(0);
    let _worker = good.start(&["worker"]);
    good.run(&["tick", "r1", "--yes", "--spread", "0"])
        .with_code(0);
    until(SOON, "the cycle is finished", async || {
        good.run(&["events"])
            .stdout
            .contains("event.cycle.r1.finished")
    })
    .await;

    // Whom one side does not know is refused, and the right setting is named.
    let broken = |name: &str, value: &str, code: i32, wanted: &[&str]| {
        let command: &[&str] = match name.starts_with("NATS") {
            true => &["status"],
            false => &["doctor"],
        };
        let ended = place().env(name, value).run(command).with_code(code);
        for wanted in wanted {
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(said.contains(wanted), "{name}={value}: {wanted}: {ended:?}");
        }
    };
    broken("NATS_CA", "", 78, &["NATS_CA", "invalid peer certificate"]);
    broken(
        "NATS_CA",
        "other-ca.pem",
        78,
        &["NATS_CA", "invalid peer certificate"],
    );
    broken("NATS_CA", "nowhere.pem", 78, &["nowhere.pem"]);
    broken("NATS_KEY", "", 78, &["NATS_KEY is not set"]);
    broken("NATS_CERT", "other.pem", 78, &["NATS_CERT"]);
    broken("MAAS_CA", "", 1, &["MAAS", "invalid peer certificate"]);
    broken(
        "MAAS_CA",
        "other-ca.pem",
        1,
        &["MAAS", "invalid peer certificate"],
    );
    broken(
        "TESTFLINGER_CA",
        "",
        1,
        &["Testflinger", "invalid peer certificate"],
    );
    broken("TESTFLINGER_CA", "nowhere.pem", 1, &["nowhere.pem"]);
    let none = place().env("NATS_CERT", "").env("NATS_KEY", "");
    let ended = none.run(&["status"]).with_code(78);
    assert!(ended.stderr.contains("NATS_CERT"), "{ended:?}");
    let stranger = place()
        .env("NATS_CERT", "other.pem")
        .env("NATS_KEY", "other-key.pem");
    let ended = stranger.run(&["status"]).with_code(78);
    assert!(ended.stderr.contains("NATS_CERT"), "{ended:?}");
}
