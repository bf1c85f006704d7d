//! The documents say what the program does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::policy::Policy;
use program::Place;
use serde_json::Value;

const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");
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

/// All that is between the brackets of a macro's call.
fn arguments(text: &str) -> &str {
    let (mut depth, mut in_text, mut escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            '(' | '[' | '{' if !in_text => depth += 1,
            ')' | ']' | '}' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    panic!("no end in {text:.80}");
}

/// The fields of a line or a span: what stands before its message, or after its name.
fn fields(is_span: bool, arguments: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let (mut depth, mut in_text, mut start) = (0, false, 0);
    for (at, c) in arguments.char_indices().chain([(arguments.len(), ',')]) {
        match c {
            '"' => in_text = !in_text,
            '(' | '[' | '{' if !in_text => depth += 1,
            ')' | ']' | '}' if !in_text => depth -= 1,
            ',' if !in_text && depth == 0 => {
                let part = arguments[start..at].trim();
                start = at + 1;
                if part.starts_with('"') && !is_span {
                    return fields;
                }
                let name = part.split('=').next().unwrap().trim();
                let name = name.trim_start_matches(['%', '?']);
                if !part.is_empty() && !part.starts_with('"') && !part.starts_with("target:") {
                    fields.push(name.to_owned());
                }
            }
            _ => {}
        }
    }
    fields
}

/// Every field that a role writes into its log, by the source of all crates that roles are made of.
fn written_fields() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let no_roles = ["bench", "broker", "lab", "laws", "testkit"];
    let mut folders: Vec<PathBuf> = std::fs::read_dir(crates)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !no_roles.iter().any(|name| path.ends_with(name)))
        .map(|path| path.join("src"))
        .collect();
    let mut written = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            for (at, start) in source.match_indices("tracing::") {
                let Some((name, rest)) = source[at + start.len()..].split_once("!(") else {
                    continue;
                };
                let line = ["trace", "debug", "info", "warn", "error"].contains(&name);
                let span = ["debug_span", "info_span"].contains(&name);
                if line || span {
                    written.extend(fields(span, arguments(rest)));
                }
            }
        }
    }
    written
}

#[test]
fn the_table_of_log_fields_has_those_that_are_written_and_no_other() {
    let (_, section) = OPERATIONS.split_once("\n## Logs\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines();
    let cells = rows.filter_map(|row| row.strip_prefix("| `")?.split(" | ").next());
    let documented: BTreeSet<String> = cells
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .collect();
    assert_eq!(written_fields(), documented);
}
