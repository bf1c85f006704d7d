//! The laws hold for generated inputs that come further than random bytes do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use laws::LAWS;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any JSON, with numbers and texts of every kind.
fn any_json() -> impl Strategy<Value = Value> {
    let number = any::<f64>().prop_filter_map("JSON has no such number", |number| {
        serde_json::Number::from_f64(number)
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(40, 64, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A value, now and then so deep that a reader gives up near it.
fn deep_json() -> impl Strategy<Value = Value> {
    (any_json(), prop_oneof![Just(0usize), 0..130usize])
        .prop_map(|(value, levels)| (0..levels).fold(value, |value, _| json!([value])))
}

/// One of the kept examples, with one of its fields replaced.
fn changed(example: &'static str) -> impl Strategy<Value = Vec<u8>> {
    (any::<prop::sample::Index>(), deep_json()).prop_map(|(which, value)| {
        let mut example: Value = serde_json::from_str(example).unwrap();
        let mut places = Vec::new();
        pointers(&example, String::new(), &mut places);
        let place: &String = which.get(&places);
        *example.pointer_mut(place).unwrap() = value;
        example.to_string().into_bytes()
    })
}

fn pointers(value: &Value, here: String, found: &mut Vec<String>) {
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    found.push(here.clone());
    for (key, value) in parts {
        pointers(value, format!("{here}/{key}"), found);
    }
}

proptest! {
    #[test]
    fn any_bytes(which in any::<prop::sample::Index>(), bytes in vec(any::<u8>(), 0..300)) {
        (which.get(LAWS).1)(&bytes);
    }

    #[test]
    fn any_text_as_a_name(text in any::<String>()) {
        laws::subject(text.as_bytes());
    }

    #[test]
    fn a_tick_with_any_words(reason in any::<String>(), by in any::<Option<String>>(), nanoseconds in any::<u64>(), nonce in any::<u128>()) {
        let spread = format!("{nanoseconds}ns");
        laws::tick(json!({"rack": "r7", "reason": reason, "by": by, "spread": spread, "nonce": format!("{nonce:032x}")}).to_string().as_bytes());
    }

    #[test]
    fn a_submit_with_any_field(body in changed(include_str!("../../model/golden/submit.json"))) {
        laws::task(&body);
    }

    #[test]
    fn a_look_with_any_field(body in changed(include_str!("../../model/golden/watch.json"))) {
        laws::task(&body);
    }

    #[test]
    fn a_machine_record_with_any_field(value in changed(include_str!("../../model/golden/machine.json"))) {
        laws::record(&value);
    }

    #[test]
    fn a_cycle_record_with_any_field(value in changed(include_str!("../../model/golden/cycle.json"))) {
        laws::record(&value);
    }

    #[test]
    fn a_rack_record_with_any_field(value in changed(include_str!("../../model/golden/rack.json"))) {
        laws::record(&value);
    }

    #[test]
    fn an_event_with_any_field(body in changed(include_str!("job_finished.json"))) {
        laws::event(&body);
    }

    #[test]
    fn a_machine_list_with_any_field(body in changed(include_str!("machines.json"))) {
        laws::machines(&body);
    }

    #[test]
    fn an_agent_list_with_any_field(body in changed(include_str!("agents.json"))) {
        laws::agents(&body);
    }

    #[test]
    fn a_result_with_any_field(body in changed(include_str!("result.json"))) {
        laws::result(&body);
    }

    #[test]
    fn a_result_with_any_device(device in deep_json()) {
        laws::result(json!({"job_state": "complete", "device_info": device}).to_string().as_bytes());
    }

    #[test]
    fn a_configuration_with_any_secret(secret in any::<String>(), section in "maas|nats|testflinger") {
        for key in ["api_key", "password", "token", "secret_key"] {
            let secret = toml::Value::from(secret.as_str());
            laws::configuration(format!("[{section}]\n{key} = {secret}\n").as_bytes());
        }
    }
}
