//! The list of all agents. Every tick needs it as it is now, and when many racks tick at the same moment, one read
//! serves all who asked before it began.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plan::inputs::Agent;
use testflinger::Testflinger;
use tokio::sync::oneshot;

use crate::inputs::agent;
use crate::trouble::Trouble;

/// What a read brought, for all who share it.
type Listed = Result<Arc<Vec<Agent>>, Trouble>;

pub(crate) struct Fleet {
    testflinger: Testflinger,
    asked: Mutex<Vec<oneshot::Sender<Listed>>>,
    /// Held while reading.
    reading: tokio::sync::Mutex<()>,
}

impl Fleet {
    pub(crate) fn new(testflinger: Testflinger) -> Self {
        Self {
            testflinger,
            asked: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// All agents, by a read that begins after this call.
    pub(crate) async fn agents(&self) -> Listed {
        let (sender, mut receiver) = oneshot::channel();
        self.asked().push(sender);
        let _reading = self.reading.lock().await;
        // Whoever read before may have begun after this call.
        if let Ok(listed) = receiver.try_recv() {
            return listed;
        }
        // They stay in the list until they are served, in case this read is given up.
        let earlier = self.asked().len();
        let listed = match self.testflinger.agents().await {
            Ok(agents) => Ok(Arc::new(agents.into_iter().map(agent).collect())),
            Err(error) => Err(Trouble::from(error)),
        };
        for asker in self.asked().drain(..earlier) {
            // One whose tick was given up needs nothing any more.
            let _ = asker.send(listed.clone());
        }
        listed
    }

    fn asked(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Listed>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use lab::{Fault, FaultKind, Lab, LabConfig};
    use testflinger::{Limits, Root, Settings};

    use super::*;

    const LIST: &str = "GET /v1/agents/data";

    async fn lab_and_fleet() -> (Lab, Fleet) {
        testkit::prepare();
        let lab = Lab::start_on_free_port(LabConfig::default()).await.unwrap();
        let settings = Settings {
            server: Root::parse(&lab.testflinger_url()).unwrap(),
            credentials: None,
            limits: Limits::default(),
            ca: None,
            secrets: Vec::new(),
        };
        let fleet = Fleet::new(Testflinger::new(settings).unwrap());
        (lab, fleet)
    }

    #[tokio::test]
    async fn all_who_ask_during_a_read_share_the_next_one() {
        let (lab, fleet) = lab_and_fleet().await;
        let lists = join_all((0..8).map(|_| fleet.agents())).await;
        assert!(lists.iter().all(|list| list.as_ref().unwrap().len() == 16));
        // The first began before the others had asked.
        assert_eq!(lab.stats().requests[LIST], 2);
        fleet.agents().await.unwrap();
        assert_eq!(lab.stats().requests[LIST], 3, "nothing is kept");
    }

    #[tokio::test]
    async fn a_failure_is_everyones_and_the_next_read_is_made_anew() {
        let (lab, fleet) = lab_and_fleet().await;
        lab.inject(Fault {
            count: 2,
            ..Fault::new(LIST, FaultKind::Status)
        });
        let lists = join_all((0..3).map(|_| fleet.agents())).await;
        assert!(lists.iter().all(|list| list.is_err()), "{lists:?}");
        assert_eq!(fleet.agents().await.unwrap().len(), 16);
    }

    #[tokio::test]
    async fn a_read_that_is_given_up_leaves_nobody_behind() {
        let (_lab, fleet) = lab_and_fleet().await;
        let given_up = async {
            tokio::select! {
                biased;
                _ = fleet.agents() => {}
                () = tokio::task::yield_now() => {}
            }
        };
        let patient = tokio::time::timeout(Duration::from_secs(20), fleet.agents());
        let ((), listed) = tokio::join!(given_up, patient);
        assert_eq!(listed.unwrap().unwrap().len(), 16);
        assert!(fleet.asked().is_empty());
    }
}
