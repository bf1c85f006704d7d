//! A dashboard over a real socket, and a client of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dashboard::broker::BrokerView;
use dashboard::claims::Claims;
use dashboard::follow::Progress;
use dashboard::history::{History, Writer};
use dashboard::schedules::Schedules;
use dashboard::tokens::Tokens;
use dashboard::web::{Access, Proxy, Site, Sources, serve};
use jiff::Timestamp;
use ledger::Ledger;
use model::event::Event;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use testkit::Broker;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::story::{Size, Teller};
use crate::support::write;

pub(crate) const SIZE: Size = Size {
    racks: 2,
    machines: 6,
    cycles: 12,
};

pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Dashboard {
    folder: TempDir,
    pub(crate) writer: Writer,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) schedules: watch::Sender<Schedules>,
    pub(crate) standing: watch::Sender<BrokerView>,
    pub(crate) claims: watch::Sender<Claims>,
    _broker: Broker,
    pub(crate) ledger: Ledger,
    pub(crate) tokens: Tokens,
    pub(crate) address: SocketAddr,
    pub(crate) end: Option<oneshot::Sender<()>>,
    pub(crate) ended: JoinHandle<()>,
    pub(crate) client: Client,
}

impl Dashboard {
    /// A dashboard that has read everything just now.
    pub(crate) async fn start(events: &[Event]) -> Self {
        Self::start_for(events, true).await
    }

    pub(crate) async fn start_for(events: &[Event], public_read: bool) -> Self {
        let broker = Broker::start().await;
        let ledger = Ledger::new(broker.bus().await);
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::at(folder.path().join("tokens.toml"));
        let access = Access {
            tokens: tokens.clone(),
            public_read,
            proxy: Some(Proxy::new(
                Proxy::header("X-Forwarded-User").unwrap(),
                Some(Proxy::header("X-Forwarded-Role").unwrap()),
                Proxy::networks("10.0.0.0/8, 127.0.0.2").unwrap(),
            )),
            hosts: Vec::new(),
        };
        let (history, mut writer) = History::open(&folder.path().join("history.sqlite")).unwrap();
        write(&mut writer, events, 500);
        let progress = watch::channel(Progress {
            at: Some(Timestamp::now()),
            ..Progress::default()
        });
        let schedules = watch::channel(Schedules {
            is_read: true,
            ..Schedules::default()
        });
        let standing = watch::channel(BrokerView::default());
        let claims = watch::channel(Claims::default());
        let sources = Sources {
            history,
            progress: progress.1,
            schedules: schedules.1,
            broker: standing.1,
            claims: claims.1,
            ledger: watch::channel(Some(ledger.clone())).1,
            testflinger: "http://testflinger.example/".into(),
            maas: Some("http://maas.example/MAAS/".into()),
        };
        let site = Site::new(sources, access);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ending) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let shutdown = async {
                let _ = ending.await;
            };
            serve(site, listener, shutdown).await.unwrap();
        });
        Self {
            folder,
            writer,
            progress: progress.0,
            schedules: schedules.0,
            standing: standing.0,
            claims: claims.0,
            _broker: broker,
            ledger,
            tokens,
            address,
            end: Some(end),
            ended,
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
        }
    }

    pub(crate) async fn told(seed: u64) -> Self {
        Self::start(&Teller::new(seed).story(SIZE)).await
    }

    /// Where another file may be.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let url = format!("http://{}{path}", self.address);
        self.client.get(url).send().await.unwrap()
    }

    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    pub(crate) async fn problem(&self, path: &str, status: StatusCode) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], status.as_u16());
        problem["detail"].as_str().unwrap().to_owned()
    }

    /// Follows a page.
    pub(crate) async fn live(&self, path: &str) -> Live {
        self.live_for(path, "").await
    }

    /// The same with a token.
    pub(crate) async fn live_for(&self, path: &str, token: &str) -> Live {
        let url = format!("http://{}{path}", self.address);
        let request = self.client.get(url).header(ACCEPT, "text/event-stream");
        let request = request.bearer_auth(token);
        Live::of(request.send().await.unwrap())
    }

    /// Follows the events, perhaps after one.
    pub(crate) async fn follow(&self, query: &str, after: Option<&str>) -> Live {
        let url = format!("http://{}/api/v1/events{query}", self.address);
        let mut request = self.client.get(url).header(ACCEPT, "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        Live {
            answer: request.send().await.unwrap(),
            text: String::new(),
        }
    }

    /// As the follower does after it has written.
    pub(crate) fn tell(&self) {
        self.progress
            .send_modify(|progress| progress.at = Some(Timestamp::now()));
    }
}

pub(crate) struct Live {
    pub(crate) answer: Response,
    pub(crate) text: String,
}

impl Live {
    pub(crate) fn of(answer: Response) -> Self {
        let text = String::new();
        Self { answer, text }
    }

    /// The next event's name and data; `None` when the stream ended.
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        loop {
            let message = self.message().await?;
            if message == "event: here\ndata:" {
                continue;
            }
            if let Some(name) = message.strip_prefix("event: ") {
                let (name, data) = name.split_once('\n').unwrap();
                return Some((name.to_owned(), data.replace("data: ", "")));
            }
        }
    }

    /// The next event's id and data; the data is null where only the id is told.
    pub(crate) async fn event(&mut self) -> Option<(String, Value)> {
        loop {
            let message = self.message().await?;
            let line = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
            if let Some(id) = line("id: ") {
                let data = line("data: ").map_or(Value::Null, |data| {
                    serde_json::from_str(data).expect("data is JSON")
                });
                return Some((id.to_owned(), data));
            }
        }
    }

    /// The next lines that belong together.
    pub(crate) async fn message(&mut self) -> Option<String> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(message);
            }
            let chunk = timeout(SOON, self.answer.chunk())
                .await
                .expect("an event in time");
            self.text
                .push_str(str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}
