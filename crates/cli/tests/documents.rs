//! The documents say what the program does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use model::policy::Policy;
use program::Place;
use serde_json::Value;

const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");
const PROGRAM: &str = include_str!("../../../docs/cli.md");
/// What is handed out to run the roles with.
const DIST: [&str; 6] = [
    include_str!("../../../dist/systemd/racktick-dashboard.service"),
    include_str!("../../../dist/systemd/racktick-scheduler.service"),
    include_str!("../../../dist/systemd/racktick-worker@.service"),
    include_str!("../../../dist/kubernetes/scheduler.yaml"),
    include_str!("../../../dist/kubernetes/worker.yaml"),
    include_str!("../../../dist/kubernetes/scaling.yaml"),
];

#[test]
fn the_table_of_settings_has_every_setting_with_its_variable_and_default() {
    let rows = Place::new().json(&["config", "show"]);
    for row in rows.as_array().unwrap() {
        let Some(variable) = row["variable"].as_str() else {
            continue;
        };
        let name = row["name"].as_str().unwrap();
        let start = match row["value"].as_str() {
            Some(default) => format!("| `{name}` | `{variable}` | `{default}` | "),
            None => format!("| `{name}` | `{variable}` | "),
        };
        assert!(CONFIGURATION.contains(&start), "{start}");
    }
}

#[test]
fn the_table_of_policy_values_has_every_value() {
    let defaults = serde_json::to_value(Policy::default()).unwrap();
    for field in Policy::FIELDS {
        let start = match &defaults[field] {
            Value::Object(_) => format!("| `{field}` | "),
            Value::String(text) => format!("| `{field}` | `{text}` | "),
            value => format!("| `{field}` | `{value}` | "),
        };
        assert!(CONFIGURATION.contains(&start), "{start}");
    }
}

#[test]
fn every_command_is_explained() {
    let help = Place::new().run(&["--help"]).with_code(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let mut count = 0;
    for line in commands.take_while(|line| !line.is_empty()) {
        let command = line.split_whitespace().next().unwrap();
        if command == "help" || !line.starts_with("  ") || line.starts_with("   ") {
            continue;
        }
        count += 1;
        assert!(
            PROGRAM.contains(&format!("`racktick {command}")),
            "{command}"
        );
    }
    assert!(count >= 15, "{help}");
}

#[test]
fn the_exit_codes_of_the_help_are_those_of_the_document() {
    let help = Place::new().run(&["--help"]).with_code(0).stdout;
    for code in ["0", "1", "2", "69", "78"] {
        assert!(
            help.lines()
                .any(|line| line.split_whitespace().next() == Some(code)),
            "{code}"
        );
        assert!(PROGRAM.contains(&format!("\n| {code} | ")), "{code}");
    }
}

#[test]
fn the_units_and_manifests_set_only_variables_that_there_are() {
    let rows = Place::new().json(&["config", "show"]);
    let mut known = vec!["RACKTICK_CONFIG".to_owned()];
    for row in rows.as_array().unwrap() {
        if let Some(variable) = row["variable"].as_str() {
            known.extend([variable.to_owned(), format!("{variable}_FILE")]);
        }
    }
    let mut count = 0;
    for text in DIST {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for word in words.filter(|word| {
            ["NATS_", "MAAS_", "TESTFLINGER_", "RACKTICK_"]
                .iter()
                .any(|start| word.starts_with(start))
        }) {
            count += 1;
            assert!(known.iter().any(|name| name == word), "{word}");
        }
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn the_settings_for_kubernetes_are_settings() {
    let place = Place::new().file(
        "racktick.toml",
        include_str!("../../../dist/kubernetes/racktick.toml"),
    );
    place.run(&["config", "check"]).with_code(0);
}
