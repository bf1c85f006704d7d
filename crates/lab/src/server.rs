//! A running lab: the listener, the connections, the clock of the pretend agents.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::config::LabConfig;
use crate::dispatch::Desk;
use crate::environment::base_url;
use crate::fault::Fault;
use crate::life;
use crate::stats::Stats;
use crate::wire::Wire;
use crate::world::World;
use crate::{AgentChange, AgentView, JobView, LabError, MachineChange, MachineView, control};

/// A running lab. Dropping it ends it at once; [`Lab::stop`] waits until nothing of it is left.
pub struct Lab {
    desk: Arc<Desk>,
    address: SocketAddr,
    config: LabConfig,
    stop: watch::Sender<bool>,
    main: JoinHandle<()>,
}

impl Lab {
    /// Starts a lab on a bound listener, inside the running tokio runtime.
    ///
    /// # Errors
    /// A setting that makes no sense, or a listener without an address.
    pub async fn start(config: LabConfig, listener: TcpListener) -> Result<Self, LabError> {
        config.check()?;
        let address = listener.local_addr().map_err(LabError::Socket)?;
        let timers_changed = Arc::new(Notify::new());
        let world = World::new(config.clone(), Arc::clone(&timers_changed));
        let desk = Arc::new(Desk::new(world));
        let (stop, stopped) = watch::channel(false);
        let main = tokio::spawn(run(Arc::clone(&desk), listener, timers_changed, stopped));
        Ok(Self {
            desk,
            address,
            config,
            stop,
            main,
        })
    }

    /// Starts a lab on a free port of the loopback address.
    ///
    /// # Errors
    /// A setting that makes no sense, or no free port.
    pub async fn start_on_free_port(config: LabConfig) -> Result<Self, LabError> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(LabError::Socket)?;
        Self::start(config, listener).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://host:port`, of the control API.
    pub fn url(&self) -> String {
        base_url(self.address)
    }

    /// `MAAS_URL`.
    pub fn maas_url(&self) -> String {
        format!("{}/MAAS/", self.url())
    }

    /// `TESTFLINGER_SERVER`.
    pub fn testflinger_url(&self) -> String {
        self.url()
    }

    /// `MAAS_API_KEY`.
    pub fn api_key(&self) -> String {
        self.config.api_key()
    }

    /// What it was started with.
    pub fn config(&self) -> &LabConfig {
        &self.config
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.desk.world().stats()
    }

    /// Lets a fault strike.
    pub fn inject(&self, fault: Fault) {
        self.desk.world().faults.add(fault);
    }

    /// Forgets all faults that have not struck yet.
    pub fn clear_faults(&self) {
        self.desk.world().faults.clear();
    }

    /// All stored jobs, in the order they came.
    pub fn jobs(&self) -> Vec<JobView> {
        control::jobs(&self.desk.world())
    }

    /// The first job stored under an id.
    pub fn job(&self, id: &str) -> Option<JobView> {
        self.desk.world().jobs.first(id).map(JobView::of)
    }

    /// One machine of MAAS.
    pub fn machine(&self, hostname: &str) -> Option<MachineView> {
        self.desk
            .world()
            .machines
            .by_host(hostname)
            .map(MachineView::of)
    }

    /// All machines of MAAS.
    pub fn machines(&self) -> Vec<MachineView> {
        self.desk
            .world()
            .machines
            .iter()
            .map(MachineView::of)
            .collect()
    }

    /// One agent of Testflinger.
    pub fn agent(&self, name: &str) -> Option<AgentView> {
        let world = self.desk.world();
        world.agents.get(name).map(AgentView::of)
    }

    /// Changes a machine as a person would.
    ///
    /// # Errors
    /// No such machine or status.
    pub fn change_machine(&self, hostname: &str, change: MachineChange) -> Result<(), LabError> {
        control::change_machine(&mut self.desk.world(), hostname, change)
    }

    /// Changes an agent, or what its next job will do.
    ///
    /// # Errors
    /// No such agent.
    pub fn change_agent(&self, name: &str, change: AgentChange) -> Result<(), LabError> {
        control::change_agent(&mut self.desk.world(), name, change)
    }

    /// Drops an agent's record, as if it had expired.
    ///
    /// # Errors
    /// No such agent.
    pub fn remove_agent(&self, name: &str) -> Result<(), LabError> {
        control::remove_agent(&mut self.desk.world(), name)
    }

    /// Starts all agents again: what they ran is forgotten, and never reported.
    pub fn restart_agents(&self) {
        life::restart_agents(&mut self.desk.world());
    }

    /// Puts a machine and its agent into a rack (a MAAS tag, made when new).
    ///
    /// # Errors
    /// There is such a machine already.
    pub fn add_machine(&self, rack: &str, hostname: &str) -> Result<(), LabError> {
        self.desk.world().add_to_rack(rack, hostname)
    }

    /// Takes a machine out of MAAS; its agent stays.
    ///
    /// # Errors
    /// No such machine.
    pub fn remove_machine(&self, hostname: &str) -> Result<(), LabError> {
        control::remove_machine(&mut self.desk.world(), hostname)
    }

    /// Drops all jobs stored under an id, as if they had expired: 204 from then on.
    ///
    /// # Errors
    /// No such job.
    pub fn forget_job(&self, id: &str) -> Result<(), LabError> {
        control::forget_job(&mut self.desk.world(), id)
    }

    /// Restricts a queue to one more Testflinger client.
    pub fn restrict_queue(&self, queue: &str, client_id: &str) {
        self.desk.world().directory.restrict(queue, client_id);
    }

    /// Ends the lab and waits until its port is free and no task of it is left.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.main).await
            && error.is_panic()
        {
            tracing::error!(%error, "the lab's main task panicked");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.main.abort();
    }
}

async fn run(
    desk: Arc<Desk>,
    listener: TcpListener,
    timers_changed: Arc<Notify>,
    stopped: watch::Receiver<bool>,
) {
    // Both halves are one task, so none outlives the other.
    let mut until = stopped.clone();
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&desk, listener, &mut connections, stopped) => {}
        () = live(&desk, &timers_changed) => {}
        _ = until.wait_for(|stopped| *stopped) => {}
    }
    connections.shutdown().await;
}

async fn accept(
    desk: &Arc<Desk>,
    listener: TcpListener,
    connections: &mut JoinSet<()>,
    stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(desk), stream, stopped.clone()));
                }
                // Too many open files, or a peer that left before we came: the next one may do better.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(desk: Arc<Desk>, stream: TcpStream, mut stopped: watch::Receiver<bool>) {
    // Answers are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let (wire, reset) = Wire::new(stream);
    let service = service_fn(|request| desk.serve(request, &reset));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(wire, service);
    tokio::select! {
        served = serving => if let Err(error) = served {
            tracing::debug!(%error, "a connection ended early");
        },
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// Wakes what is due, for ever.
async fn live(desk: &Desk, timers_changed: &Notify) {
    loop {
        let next = {
            let mut world = desk.world();
            life::wake(&mut world);
            world.timers.next_due()
        };
        match next {
            Some(due) if due <= Instant::now() => tokio::task::yield_now().await,
            Some(due) => tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = timers_changed.notified() => {}
            },
            None => timers_changed.notified().await,
        }
    }
}
