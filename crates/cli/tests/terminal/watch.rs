//! `racktick watch` in a terminal of its own, which `script` makes.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use lab::LabConfig;
use testkit::until;

use crate::world::{SOON, World};

/// The program on a terminal of 24 lines and 80 columns, and what stands there.
struct Screen {
    child: Child,
    shown: Arc<Mutex<vt100::Parser>>,
}

impl Screen {
    fn of(world: &World) -> Self {
        let program = world.place.command(&["watch"]);
        let line = format!(
            "stty rows 24 cols 80; echo $$ > watch.pid; exec {} watch",
            program.get_program().display()
        );
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &line, "/dev/null"]);
        script
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        script.current_dir(world.place.path());
        for (name, value) in program.get_envs() {
            script.env(name, value.unwrap());
        }
        let mut child = script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let shown = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut stdout, parser) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                parser.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { child, shown }
    }

    fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    /// Whether the terminal is again what it was before.
    fn is_as_before(&self) -> bool {
        let shown = self.shown.lock().unwrap();
        !shown.screen().alternate_screen() && !shown.screen().hide_cursor()
    }

    fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    async fn until(&self, wanted: &str) {
        until(SOON, wanted, async || self.text().contains(wanted)).await;
    }

    async fn until_ended(&mut self) -> Option<i32> {
        until(SOON, "it ends", async || {
            self.child.try_wait().unwrap().is_some()
        })
        .await;
        self.child.wait().unwrap().code()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_goes_live_on_the_screen_and_q_ends_it() {
    let world = World::new(LabConfig {
        odd: 1,
        // Slow enough for a job to be seen at work.
        speed: 60.0,
        ..LabConfig::default()
    })
    .await;
    let _worker = world.worker();
    let mut screen = Screen::of(&world);
    screen.until("no cycle yet").await;
    world
        .place
        .run(&["tick", "r1", "--spread", "0"])
        .with_code(0);
    screen.until("r1-m01 unknown ▶").await;
    screen.until("job submitted r1-m01").await;
    screen.until("running").await;
    screen.press("\r");
    screen.until("rack r1  live").await;
    screen.until("– no_agent").await;
    screen.until("▶ provision").await;
    assert!(screen.shown.lock().unwrap().screen().alternate_screen());
    screen.press("q");
    assert_eq!(screen.until_ended().await, Some(0));
    assert!(screen.is_as_before());

    let mut other = Screen::of(&world);
    other.until("r1-m01").await;
    let pid = std::fs::read_to_string(world.place.path().join("watch.pid")).unwrap();
    let told = Command::new("kill").args(["-TERM", pid.trim()]).status();
    assert!(told.unwrap().success());
    assert_eq!(other.until_ended().await, Some(0));
    assert!(other.is_as_before());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_it_says_what_to_use_instead() {
    let world = World::new(LabConfig::default()).await;
    for arguments in [&["watch"][..], &["watch", "--output", "json"]] {
        let ended = world.place.run(arguments).with_code(2);
        assert!(
            ended.stderr.contains("`racktick status --output json`"),
            "{ended:?}"
        );
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
}
