//! Pictures of every page, to look at: five racks with a history of ten days, of which two are deployed for real.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use bus::Outgoing;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use model::cycle::Origin;
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::image::Image;
use model::name::{MachineName, RackName};
use model::outcome::{Counts, FailCause, Outcome, Phase, Skip, SkipReason};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use testkit::workspace;
use tests::{SOON, System, machines};

use crate::browser::Browser;
use crate::pages::job_of;
use crate::until_at_rest;

/// From one cycle of a rack to the next.
const EVERY: SignedDuration = SignedDuration::from_hours(6);

/// How many cycles of each rack were before.
const CYCLES: i32 = 40;

/// How wide the pictures are.
const WIDTHS: [u32; 3] = [1280, 360, 2560];

/// How many machines a rack has.
const MACHINES: usize = 14;

#[tokio::test]
#[ignore = "it takes pictures for people to look at, and proves nothing"]
async fn pictures_of_every_page() {
    let folder = workspace().join("target/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    let lab = [
        "--racks",
        "2",
        "--machines",
        "14",
        "--odd",
        "3",
        "--speed",
        "60",
    ];
    let system = System::start(&lab).await;
    let browser = Browser::start().await;
    browser.speak("en-GB").await;
    let dashboard = system.dashboard("127.0.0.1:0").await;
    let root = dashboard.url();
    browser.prefer("light").await;
    browser.open(root).await;
    whole(&browser, &folder, "fleet-without-racks", WIDTHS[0]).await;

    let racks = ["r1", "r2", "r3", "r4", "r5"];
    for rack in racks {
        match rack {
            "r2" => system.add_spread_rack(rack).await,
            _ => system.add_rack(rack).await,
        }
    }
    let first = format!(
        "document.querySelectorAll('main section[id^=rack]').length === {}",
        racks.len()
    );
    browser.open(root).await;
    browser
        .until("racks that have not ticked are shown", &first)
        .await;
    whole(&browser, &folder, "fleet-without-cycles", WIDTHS[0]).await;

    tell(&system, &racks).await;
    let _scheduler = system.scheduler();
    let _workers = [system.worker("w1"), system.worker("w2")];
    system
        .run(&["rack", "pause", "r5", "--reason", "its switch is replaced"])
        .await;
    browser.open(root).await;
    system.tick(b"r1").await;
    let running = "document.querySelector('#rack-r1 progress')";
    browser.until("a cycle runs", running).await;
    browser
        .until_within(SOON * 2, "it is over", &format!("!{running}"))
        .await;
    until_at_rest(&system, &machines("r1", 11)).await;
    system.lab.fail_next("r1-m04").await;
    system.tick(b"r1").await;
    let failed = "document.querySelector('#attention').innerText.includes('r1-m04')";
    browser
        .until_within(SOON * 2, "a machine fails", failed)
        .await;
    system.lab.fail_next("r2-m02").await;
    system.tick(b"r2").await;
    let half = "document.querySelectorAll('#rack-r2 .cell .now').length >= 3 && document.querySelector('#rack-r2 progress').value >= 2";
    browser
        .until_within(SOON * 2, "a cycle is half way", half)
        .await;
    let cycle = browser
        .eval("document.querySelector('#rack-r2 a[href^=\"/cycles/\"]').getAttribute('href')")
        .await;
    let job = job_of(&browser, "r1-m04").await;
    readme(&browser).await;
    let token = system
        .run(&["dashboard", "token", "add", "ann", "--role", "admin"])
        .await;
    system
        .run(&["dashboard", "token", "add", "ben", "--role", "operator"])
        .await;
    let pages = [
        ("fleet", "/".to_owned()),
        ("left-alone", "/?state=left_alone".to_owned()),
        ("rack", "/racks/r1".to_owned()),
        ("rack-paused", "/racks/r5".to_owned()),
        ("cycle", cycle.as_str().unwrap().to_owned()),
        ("machine-failed", "/machines/r1-m04".to_owned()),
        ("machine-offline", "/machines/r1-m13".to_owned()),
        ("machine-busy", "/machines/r2-m05".to_owned()),
        ("job", job),
        ("now", "/now".to_owned()),
        ("trends", "/trends".to_owned()),
        ("system", "/system".to_owned()),
        ("login", "/login".to_owned()),
        ("nothing", "/machines/nobody".to_owned()),
    ];
    let actions = [
        ("rack-admin", "/racks/r1".to_owned()),
        ("access", "/access".to_owned()),
        ("system-admin", "/system".to_owned()),
    ];
    take(&browser, root, &folder, &pages).await;
    system.tick(b"{\"rack\": 7}").await;
    browser.sign_in(root, token.trim()).await;
    browser.open(&format!("{root}/system")).await;
    browser
        .until(
            "a dead letter is shown",
            "document.querySelector('#dead table')",
        )
        .await;
    take(&browser, root, &folder, &actions).await;
    browser.quit().await;
}

/// The picture of the README: the front page while a cycle runs.
async fn readme(browser: &Browser) {
    browser.size(1280, 1000).await;
    let picture = with_few_colours(&browser.picture().await);
    std::fs::write(workspace().join("docs/dashboard.png"), picture).unwrap();
}

/// The same picture with 16 shades of red, green and blue, which takes a third of the room.
fn with_few_colours(picture: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(picture)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let shade = |value: u8| (value.saturating_add(8) / 17) * 17;
    let mut colours: Vec<[u8; 3]> = Vec::new();
    let mut number_of = |pixel: &[u8]| {
        let colour = [shade(pixel[0]), shade(pixel[1]), shade(pixel[2])];
        let known = colours.iter().position(|known| *known == colour);
        let number = known.unwrap_or_else(|| {
            colours.push(colour);
            colours.len() - 1
        });
        u8::try_from(number).expect("a page has no more than 256 colours")
    };
    let numbers: Vec<u8> = pixels
        .chunks(info.color_type.samples())
        .map(&mut number_of)
        .collect();
    let mut small = Vec::new();
    let mut encoder = png::Encoder::new(&mut small, info.width, info.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(colours.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&numbers).unwrap();
    writer.finish().unwrap();
    small
}

/// Pictures of pages, in light and dark, as wide as anybody has them.
async fn take(browser: &Browser, root: &str, folder: &Path, pages: &[(&str, String)]) {
    for (name, path) in pages {
        browser.open(&format!("{root}{path}")).await;
        for scheme in ["light", "dark"] {
            browser.prefer(scheme).await;
            for width in WIDTHS {
                whole(browser, folder, &format!("{name}-{width}-{scheme}"), width).await;
            }
        }
    }
}

/// A picture of the page that is open, as high as it is.
pub(crate) async fn whole(browser: &Browser, folder: &Path, name: &str, width: u32) {
    browser.size(width, 900).await;
    let is_ready = "!document.getElementById('pause')?.hidden";
    browser.until("the script runs", is_ready).await;
    let height = browser.eval("document.scrollingElement.scrollHeight").await;
    let height = height.as_u64().unwrap().clamp(600, 3000);
    browser.size(width, height.try_into().unwrap()).await;
    let picture = browser.picture().await;
    std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
}

/// Publishes what happened to the racks before: mostly all went well.
async fn tell(system: &System, racks: &[&str]) {
    let mut random = StdRng::seed_from_u64(7);
    let start = Timestamp::now() - EVERY * CYCLES;
    let mut events = Vec::new();
    for number in 0..CYCLES {
        for (rack, minutes) in racks.iter().zip([40, 80, 120, 160, 200]) {
            let slot = start + EVERY * number + SignedDuration::from_mins(minutes);
            cycle(&mut events, &mut random, rack, CYCLES - number, slot);
        }
    }
    events.sort_by_key(|event| event.time);
    let publish = async |event: Event| {
        let message = Outgoing::new(event.subject(), event.to_json());
        system.bus.publish(message).await
    };
    let published = stream::iter(events.into_iter().map(publish)).buffered(64);
    published.try_collect::<Vec<_>>().await.unwrap();
}

/// What becomes of a machine in the cycle that has so many after it, itself included.
fn fate(random: &mut StdRng, rack: &str, machine: usize, left: i32) -> Outcome {
    let failed = |phase, code| Outcome::Failed {
        cause: FailCause::Phase,
        phase: Some(phase),
        exit_code: Some(code),
    };
    let skipped = |reason, detail: &str| Outcome::Skipped(Skip::of(reason, detail));
    match (rack, machine) {
        ("r3", 4) if left <= 6 => failed(Phase::Provision, 1),
        ("r4", 9) if left <= 9 => failed(Phase::Provision, 46),
        ("r3", 11) if left <= 22 => skipped(SkipReason::MaasLocked, "Deployed"),
        ("r4", 2) if left <= 3 => skipped(SkipReason::MaasOwner, "olga"),
        ("r5", 7) if left <= 14 => skipped(SkipReason::AgentOffline, "offline: disk is replaced"),
        ("r1" | "r2", 12) => skipped(SkipReason::NoAgent, "its queue is listed"),
        ("r1" | "r2", 13) => skipped(SkipReason::AgentOffline, "offline"),
        ("r1" | "r2", 14) => skipped(SkipReason::AgentOffline, "maintenance"),
        ("r5", 3) if random.random_ratio(2, 5) => failed(Phase::Test, 2),
        _ if left > 1 && random.random_ratio(1, 40) => failed(Phase::Provision, 1),
        _ => Outcome::Passed,
    }
}

fn cycle(events: &mut Vec<Event>, random: &mut StdRng, rack: &str, left: i32, slot: Timestamp) {
    let name = RackName::new(rack).unwrap();
    let cycle = CycleId::of_slot(&name, slot);
    let mut tell = |seconds: i64, fact| {
        events.push(Event {
            time: slot + SignedDuration::from_secs(seconds),
            rack: name.clone(),
            cycle,
            fact,
        });
    };
    tell(
        1,
        Fact::CycleStarted {
            origin: Origin::Slot { slot },
        },
    );
    let mut outcomes = Vec::new();
    for (machine, number) in machines(rack, MACHINES).into_iter().zip(1..) {
        let machine = MachineName::new(machine).unwrap();
        let outcome = fate(random, rack, number, left);
        outcomes.push(outcome.clone());
        let job = Job {
            job: JobId::of(cycle, &machine),
            machine: machine.clone(),
        };
        let verdict = match outcome {
            Outcome::Skipped(skip) => {
                tell(3, Fact::MachineSkipped { machine, skip });
                continue;
            }
            verdict => verdict,
        };
        let begin = random.random_range(10..900);
        let provision = begin + random.random_range(600..1200);
        tell(
            begin,
            Fact::JobSubmitted {
                job: job.clone(),
                deadline: slot + SignedDuration::from_hours(4),
                image: Image {
                    distro: Some("noble".into()),
                    kernel: None,
                },
            },
        );
        for (state, at) in [
            ("setup", begin + 20),
            ("provision", begin + 40),
            ("reserve", provision),
        ] {
            tell(
                at,
                Fact::JobProgressed {
                    job: job.clone(),
                    state: state.into(),
                },
            );
        }
        let statuses = match &verdict {
            Outcome::Failed {
                phase: Some(phase),
                exit_code: Some(code),
                ..
            } => BTreeMap::from([(Phase::Setup, 0), (*phase, *code)]),
            _ => BTreeMap::from([
                (Phase::Setup, 0),
                (Phase::Provision, 0),
                (Phase::Reserve, 0),
            ]),
        };
        tell(
            provision + 120,
            Fact::JobFinished {
                job,
                verdict,
                statuses,
                submitted_at: Some(slot + SignedDuration::from_secs(begin)),
                cancel: None,
                device: None,
                evidence: None,
            },
        );
    }
    let mut skip: BTreeMap<SkipReason, usize> = BTreeMap::new();
    for outcome in &outcomes {
        if let Outcome::Skipped(of) = outcome {
            *skip.entry(of.reason).or_default() += 1;
        }
    }
    tell(
        2,
        Fact::CyclePlanned {
            deploy: MACHINES - skip.values().sum::<usize>(),
            skip,
            deploy_by: slot + SignedDuration::from_mins(90),
            spread: Duration::from_secs(15 * 60),
        },
    );
    tell(
        2300,
        Fact::CycleFinished {
            counts: Counts::of(&outcomes),
            duration: Duration::from_secs(2300),
        },
    );
}
