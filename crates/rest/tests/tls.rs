#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Labs sign their own certificates: a server is believed when its authority was given, and only then.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rest::{BuildError, Class, Deadline, Error, Http, Limits, Root, Settings};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Starts a server whose certificate was signed by an authority of its own: its address and the authority's PEM.
fn serve() -> (String, String) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(
        config
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap(),
    );

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    // Ends with the process: it waits for connections and holds nothing.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(session, stream.unwrap());
            // A client that does not believe the certificate hangs up here.
            if stream.read(&mut [0; 4096]).is_ok() {
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"));
            }
        }
    });
    (address, authority.pem())
}

fn http(address: &str, ca: Option<&str>) -> Result<Http, BuildError> {
    let root = Root::parse(address).unwrap();
    Http::new(Settings {
        root,
        limits: Limits::default(),
        ca: ca.map(Into::into),
        secrets: Vec::new(),
    })
}

async fn ask(http: &Http) -> Result<String, Error> {
    http.send(
        "a",
        http.get(&["a"]),
        Deadline::after(Duration::from_secs(30)),
    )
    .await?
    .text()
    .await
}

#[tokio::test]
async fn a_server_is_believed_when_its_authority_was_given_and_only_then() {
    let (address, authority) = serve();
    assert_eq!(
        ask(&http(&address, Some(&authority)).unwrap())
            .await
            .unwrap(),
        "hi"
    );

    let error = ask(&http(&address, None).unwrap()).await.unwrap_err();
    assert!(error.never_sent(), "{error:?}");
    assert_eq!(
        (error.class(), error.cause()),
        (Class::Transient, "connect")
    );
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
}

#[test]
fn a_ca_file_without_a_certificate_is_refused() {
    drop(rustls::crypto::ring::default_provider().install_default());
    for not_pem in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
    ] {
        let refused = http("https://maas.example", Some(not_pem));
        assert!(matches!(refused, Err(BuildError::Ca(_))), "{not_pem}");
    }
}
