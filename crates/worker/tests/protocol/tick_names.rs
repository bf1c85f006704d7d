//! Ticks that say which cycle they are. Whoever reaches the broker may tick any rack and reads the ids of all cycles in
//! their events.

use jiff::{SignedDuration, Timestamp};
use lab::{Fault, FaultKind};
use model::cycle::Origin;
use model::id::CycleId;
use model::task::{Place, Resume, Tick};
use uuid::Uuid;

use crate::world::{Letter, Rack, World, planned};

const MACHINES: &str = "GET /MAAS/api/2.0/machines/";

fn named(rack: &Rack, nonce: Uuid) -> Letter<Tick> {
    let mut letter = Letter::tick(&rack.name);
    letter.task.nonce = Some(nonce);
    letter
}

fn going_on(cycle: CycleId, place: Option<Place>) -> Resume {
    Resume {
        cycle,
        origin: Origin::Manual {
            by: None,
            reason: None,
        },
        ticked_at: Timestamp::now(),
        attempt: 1,
        place,
    }
}

#[tokio::test]
async fn ticks_with_one_nonce_are_one_cycle_of_each_rack() {
    let world = World::start().await;
    let nonce = Uuid::new_v4();
    let mut cycles = Vec::new();
    for name in ["r1", "r2"] {
        let rack = world.rack(name, 1).await;
        let record = rack.decided(&named(&rack, nonce)).await;
        assert_eq!(record.cycle, CycleId::of_request(&rack.name, nonce));
        // Sent again with another place in the stream.
        let mut again = named(&rack, nonce);
        again.delivery.sequence += 1;
        assert_eq!(rack.decided(&again).await, record);
        assert_eq!(rack.submits_sent().await, 1);
        cycles.push(record.cycle);
    }
    assert_ne!(cycles[0], cycles[1]);
}

#[tokio::test]
async fn a_tick_that_was_put_off_shows_that_its_cycle_is_its_racks() {
    let world = World::start().await;
    for (name, nonce) in [("plain", None), ("named", Some(Uuid::new_v4()))] {
        let rack = world.rack(name, 1).await;
        rack.lab.inject(Fault::new(MACHINES, FaultKind::Html));
        let mut letter = Letter::tick(&rack.name);
        letter.task.nonce = nonce;
        let (_, retry) = rack.put_off(&letter).await;
        assert_eq!(rack.decided(&retry).await.cycle, letter.cycle(), "{name}");
    }
}

#[tokio::test]
async fn no_tick_joins_another_racks_cycle() {
    let world = World::start().await;
    let victim = world.rack("r1", 1).await;
    let rack = world.rack("r2", 1).await;
    let nonce = Uuid::new_v4();
    let open = victim.decided(&named(&victim, nonce)).await.cycle;
    let place = Place {
        stream_created: Timestamp::now(),
        sequence: 1,
        stored_at: Timestamp::now(),
    };
    for (cycle, nonce, place) in [
        (open, None, None),
        (open, Some(nonce), None),
        (open, None, Some(place)),
        (place.cycle(&victim.name), None, Some(place)),
        (Uuid::new_v4().to_string().parse().unwrap(), None, None),
    ] {
        let mut letter = Letter::tick(&rack.name);
        letter.task.nonce = nonce;
        letter.task.resume = Some(going_on(cycle, place));
        let why = rack.deliver_tick(&letter).await.unwrap_err();
        for part in [cycle.to_string().as_str(), "rack r2", "racktick tick r2"] {
            assert!(why.contains(part), "{part} in {why}");
        }
        assert!(rack.record(cycle).await.is_none());
    }
    assert_eq!(rack.submits_sent().await, 0);
}

#[tokio::test]
async fn a_tick_may_be_ahead_by_as_much_as_clocks_differ() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let ahead = |minutes| {
        let nonce = Uuid::new_v4();
        let mut letter = named(&rack, nonce);
        letter.task.resume = Some(Resume {
            ticked_at: Timestamp::now() + SignedDuration::from_mins(minutes),
            ..going_on(CycleId::of_request(&rack.name, nonce), None)
        });
        letter
    };
    let far = ahead(6);
    let why = rack.deliver_tick(&far).await.unwrap_err();
    let said = far.task.resume.as_ref().unwrap().ticked_at.to_string();
    assert!(why.contains(&said), "{why}");
    assert!(rack.record(far.cycle()).await.is_none());
    assert_eq!(planned(&rack.decided(&ahead(4)).await).deploy.len(), 1);
}
