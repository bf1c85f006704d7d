//! A line between a client and its broker that understands what passes on it, so that one request can be made to fail:
//! before it has an effect, or after. Requests are counted; everything else passes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It does not reach the broker, and no answer ever comes.
    Lost,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// The connection ends instead: it does not reach the broker.
    CutBefore,
    /// It is done, and the connection ends before the answer has arrived.
    CutAfter,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Lost,
        Self::AnswerLost,
        Self::CutBefore,
        Self::CutAfter,
    ];

    /// Whether it can happen to a message that nobody answers. TCP loses nothing in the middle.
    pub fn suits_unanswered(self) -> bool {
        matches!(self, Self::CutBefore | Self::CutAfter)
    }
}

/// A message that a client published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Where to.
    pub subject: String,
    /// Whether it wants an answer.
    pub is_request: bool,
}

/// The line. It takes connections, also again after a cut, until it is dropped.
pub struct BrokerLine {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct State {
    published: Vec<Published>,
    /// Which message, counted from 0, fails how.
    fails: Option<(usize, Failure)>,
    struck: bool,
    /// The subject on which the answer to the failed one comes.
    answer: Option<(String, Failure)>,
    /// The subjects of all subscriptions, by what the client calls them.
    subscriptions: HashMap<String, String>,
    is_silent: bool,
    /// The subject of the subscription that ended the silence.
    ended: Option<String>,
}

/// What the line does with a message.
pub(crate) enum Fate {
    Passes,
    Vanishes,
    /// The connection ends, and the message with it.
    Cuts,
    /// It passes, and the connection ends.
    CutsAfter,
}

impl BrokerLine {
    /// A line to the broker at this address (`nats://host:port`).
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn to(url: &str) -> Self {
        let broker = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let state = Arc::<Mutex<State>>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let state = Arc::clone(&state);
            async move {
                let mut lines = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    lines.spawn(carry(client, broker.clone(), Arc::clone(&state)));
                }
            }
        });
        Self {
            address,
            state,
            _accepting: accepting,
        }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Forgets what was published so far.
    pub(crate) fn count_from_now(&self) {
        lock(&self.state).published.clear();
    }

    /// What was published over it, since it is counted.
    pub fn published(&self) -> Vec<Published> {
        lock(&self.state).published.clone()
    }

    /// The message with this number, counted from 0, fails.
    pub fn fail(&self, number: usize, failure: Failure) {
        lock(&self.state).fails = Some((number, failure));
    }

    /// Whether it has failed.
    pub fn struck(&self) -> bool {
        lock(&self.state).struck
    }

    /// No message arrives from the broker any more, until the client ends a subscription: the connection ends with that
    /// word on the way, and the next one is whole. The broker's signs of life still arrive: without them the client would
    /// at some time end the connection itself, and no subscription with it.
    pub fn fall_silent(&self) {
        lock(&self.state).is_silent = true;
    }

    /// The subject of the subscription that the client ended in the silence.
    pub fn ended_in_silence(&self) -> Option<String> {
        lock(&self.state).ended.clone()
    }
}

impl State {
    /// A client published something.
    fn publish(&mut self, subject: &str, reply: Option<&str>) -> Fate {
        let number = self.published.len();
        self.published.push(Published {
            subject: subject.into(),
            is_request: reply.is_some(),
        });
        let Some((_, failure)) = self.fails.filter(|(fails, _)| *fails == number) else {
            return Fate::Passes;
        };
        self.struck = true;
        match (failure, reply) {
            (Failure::Lost, _) => Fate::Vanishes,
            (Failure::CutBefore, _) => Fate::Cuts,
            (Failure::AnswerLost | Failure::CutAfter, Some(reply)) => {
                self.answer = Some((reply.into(), failure));
                Fate::Passes
            }
            (Failure::CutAfter, None) => Fate::CutsAfter,
            (Failure::AnswerLost, None) => Fate::Passes,
        }
    }

    fn subscribe(&mut self, subject: &str, number: &str) -> Fate {
        self.subscriptions.insert(number.into(), subject.into());
        Fate::Passes
    }

    fn unsubscribe(&mut self, number: &str) -> Fate {
        let subject = self.subscriptions.remove(number);
        if !self.is_silent {
            return Fate::Passes;
        }
        self.is_silent = false;
        self.ended = subject;
        Fate::Cuts
    }

    /// The broker sends something.
    fn deliver(&mut self, subject: &str) -> Fate {
        match self.answer.take_if(|(answer, _)| answer == subject) {
            None => Fate::Passes,
            Some((_, Failure::CutAfter)) => Fate::Cuts,
            Some(_) => Fate::Vanishes,
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection, until either side or the line ends it.
async fn carry(client: TcpStream, broker: String, state: Arc<Mutex<State>>) {
    let Ok(broker) = TcpStream::connect(&broker).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let up = pass(BufReader::new(from_client), to_broker, |line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["PUB", subject, _] | ["HPUB", subject, _, _] => lock(&state).publish(subject, None),
            ["PUB", subject, reply, _] | ["HPUB", subject, reply, _, _] => {
                lock(&state).publish(subject, Some(reply))
            }
            ["SUB", subject, .., number] => lock(&state).subscribe(subject, number),
            ["UNSUB", number, ..] => lock(&state).unsubscribe(number),
            _ => Fate::Passes,
        }
    });
    let down = pass(BufReader::new(from_broker), to_client, |line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["MSG" | "HMSG", ..] if lock(&state).is_silent => Fate::Vanishes,
            ["MSG" | "HMSG", subject, ..] => lock(&state).deliver(subject),
            _ => Fate::Passes,
        }
    });
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Passes one direction on, message by message, as each one's first line decides.
pub(crate) async fn pass(
    mut from: impl AsyncBufRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    decide: impl Fn(&str) -> Fate,
) {
    loop {
        let mut message = Vec::new();
        match from.read_until(b'\n', &mut message).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let line = String::from_utf8_lossy(&message).into_owned();
        let payload = match line.split_ascii_whitespace().next() {
            Some("PUB" | "HPUB" | "MSG" | "HMSG" | "RMSG") => line
                .split_ascii_whitespace()
                .last()
                .and_then(|size| size.parse::<usize>().ok()),
            _ => None,
        };
        if let Some(size) = payload {
            let head = message.len();
            message.resize(head + size + b"\r\n".len(), 0);
            if from.read_exact(&mut message[head..]).await.is_err() {
                return;
            }
        }
        let fate = decide(&line);
        match fate {
            Fate::Vanishes => continue,
            Fate::Cuts => return,
            Fate::Passes | Fate::CutsAfter => {}
        }
        if to.write_all(&message).await.is_err() || matches!(fate, Fate::CutsAfter) {
            return;
        }
    }
}
