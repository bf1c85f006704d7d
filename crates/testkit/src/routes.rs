//! How the nodes of a cluster reach each other: over lines that understand what passes on them, so that one node can be
//! kept from following one stream while everything else goes on.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use broker::NODES;
use serde_json::Value;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::broker_line::{Fate, pass};

/// The lines to all nodes.
#[derive(Default)]
pub(crate) struct Routes {
    held_back: Arc<Mutex<Option<HeldBack>>>,
    lines: Mutex<JoinSet<()>>,
}

/// A node, by its name, and the group of nodes that keep a stream, by the name that messages among them have in their
/// subjects.
struct HeldBack {
    node: String,
    group: String,
}

impl Routes {
    /// Lays a line to each of the nodes, and says for each node's configuration where they are. Nodes tell each other where
    /// their friends are, so each is made to name its line.
    pub(crate) async fn lay(&self, ports: [u16; NODES]) -> io::Result<[String; NODES]> {
        let mut listeners = Vec::new();
        for _ in ports {
            listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        }
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<Vec<_>>>()?;
        let routes: Vec<String> = addresses
            .iter()
            .map(|address| format!("nats-route://{address}"))
            .collect();
        let routes = routes.join(", ");
        let mut lines = lock(&self.lines);
        lines.abort_all();
        for (listener, port) in listeners.into_iter().zip(ports) {
            lines.spawn(accept(listener, port, Arc::clone(&self.held_back)));
        }
        Ok(std::array::from_fn(|node| {
            format!("advertise: \"{}\", routes: [{routes}]", addresses[node])
        }))
    }

    /// From now on nothing about the stream that this group keeps passes from or to the node.
    pub(crate) fn hold_back(&self, node: String, group: String) {
        *lock(&self.held_back) = Some(HeldBack { node, group });
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, port: u16, held_back: Arc<Mutex<Option<HeldBack>>>) {
    let mut connections = JoinSet::new();
    while let Ok((caller, _)) = listener.accept().await {
        connections.spawn(carry(caller, port, Arc::clone(&held_back)));
    }
}

/// One connection between two nodes, until either ends it.
async fn carry(caller: TcpStream, port: u16, held_back: Arc<Mutex<Option<HeldBack>>>) {
    let Ok(called) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    // Either begins with who it is, and tells later of others, too.
    let [calling, answering] = [OnceLock::new(), OnceLock::new()];
    let decide = |line: &str, from: &OnceLock<String>| {
        if let Some(info) = line.strip_prefix("INFO ") {
            let info: Value = serde_json::from_str(info).unwrap_or_default();
            let name = info["server_name"].as_str().unwrap_or_default();
            from.get_or_init(|| name.into());
        }
        let is_between = |node| calling.get() == Some(node) || answering.get() == Some(node);
        match &*lock(&held_back) {
            Some(HeldBack { node, group }) if is_between(node) && line.contains(group.as_str()) => {
                Fate::Vanishes
            }
            _ => Fate::Passes,
        }
    };
    let (from_caller, to_caller) = caller.into_split();
    let (from_called, to_called) = called.into_split();
    tokio::select! {
        () = pass(BufReader::new(from_caller), to_called, |line| decide(line, &calling)) => {}
        () = pass(BufReader::new(from_called), to_caller, |line| decide(line, &answering)) => {}
    }
}
