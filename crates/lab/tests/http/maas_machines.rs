//! Reading machines and tags.

use lab::LabConfig;
use serde_json::{Value, json};

use crate::client::{Bench, slow};

fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|machine| machine["hostname"].as_str().unwrap())
        .collect()
}

async fn two_racks() -> Bench {
    Bench::start(LabConfig {
        racks: 2,
        machines: 2,
        ..slow()
    })
    .await
}

#[tokio::test]
async fn a_rack_is_the_machines_with_its_tag() {
    let bench = two_racks().await;
    let answer = bench.maas_get("machines/?tags=r1").await;
    assert_eq!(names(&answer.json()), ["r1-m01", "r1-m02"]);
    let machine = &answer.json()[0];
    for (field, value) in [
        ("status", json!(4)),
        ("status_name", json!("Ready")),
        ("owner", json!(null)),
        ("locked", json!(false)),
        ("fqdn", json!("r1-m01.maas")),
        ("netboot", json!(true)),
        ("ip_addresses", json!([])),
        ("node_type_name", json!("Machine")),
        ("power_state", json!("off")),
    ] {
        assert_eq!(machine[field], value, "{field}");
    }
    assert_eq!(machine["system_id"].as_str().unwrap().len(), 6);
    assert_eq!(machine["pool"]["name"], "default");
    let path = format!("machines/{}/", machine["system_id"].as_str().unwrap());
    assert_eq!(bench.maas_get(&path).await.json(), *machine);
    assert_eq!(machine["resource_uri"], format!("/MAAS/api/2.0/{path}"));
}

#[tokio::test]
async fn filters_choose_machines() {
    let bench = two_racks().await;
    let change = json!({"status": "failed_deployment", "owner": "alice", "power_state": "on"});
    bench.call("PATCH", "/lab/machines/r2-m01", change).await;
    let all = ["r1-m01", "r1-m02", "r2-m01", "r2-m02"];
    for (query, expected) in [
        ("", &all[..]),
        ("?tags=ipmi", &all),
        ("?tags=r1&tags=ipmi", &all[..2]),
        ("?tags=r1,ipmi", &all[..2]),
        ("?tags=r1+ipmi", &all[..2]),
        ("?tags=r1&tags=r2", &[]),
        ("?not_tags=r1", &all[2..]),
        ("?hostname=r1-m02&hostname=r2-m02", &["r1-m02", "r2-m02"]),
        ("?hostname=r1-m02.maas", &[]),
        ("?not_hostname=r1-m02", &["r1-m01", "r2-m01", "r2-m02"]),
        ("?tags=r1&hostname=r2-m02", &[]),
        ("?status=failed_deployment", &["r2-m01"]),
        ("?status=%3Dready&tags=r2", &["r2-m02"]),
        ("?not_status=ready", &["r2-m01"]),
        ("?simple_status=failed", &["r2-m01"]),
        ("?owner=alice", &["r2-m01"]),
        ("?not_owner=alice", &["r1-m01", "r1-m02", "r2-m02"]),
        ("?power_state=on", &["r2-m01"]),
        (
            "?zone=default&pool=default&domain=maas&arch=amd64&cpu_count=4&tags=r1",
            &all[..2],
        ),
        ("?cpu_count=1000", &[]),
        ("?system_id=nosuch", &[]),
    ] {
        let answer = bench.maas_get(&format!("machines/{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        assert_eq!(names(&answer.json()), expected, "{query}");
    }
    let system_id = bench.system_id("r1-m01");
    let answer = bench.maas_get(&format!("machines/?id={system_id}")).await;
    assert_eq!(names(&answer.json()), ["r1-m01"]);
    let mac = answer.json()[0]["boot_interface"]["mac_address"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = bench
        .maas_get(&format!("machines/?mac_address={mac}"))
        .await;
    assert_eq!(names(&answer.json()), ["r1-m01"]);
}

#[tokio::test]
async fn wrong_filters_are_refused_by_field() {
    let bench = two_racks().await;
    for (query, field, message) in [
        ("tags=x", "tags", Some("No such tag(s): 'x'.")),
        ("tags=r1,x,y", "tags", Some("No such tag(s): 'x', 'y'.")),
        ("not_tags=x", "not_tags", Some("No such tag(s): 'x'.")),
        ("colour=red", "colour", Some("No such constraint.")),
        (
            "mac_address=zz",
            "mac_address",
            Some("Invalid parameter: invalid MAC address format"),
        ),
        ("status=Ready", "status", None),
        ("status=4", "status", None),
        ("simple_status=fine", "simple_status", None),
        ("power_state=maybe", "power_state", None),
        ("owner=nobody", "owner", None),
        ("zone=moon", "zone", None),
        ("pool=deep", "pool", None),
    ] {
        let answer = bench.maas_get(&format!("machines/?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        let body = answer.json();
        let found = body[field][0]
            .as_str()
            .unwrap_or_else(|| panic!("{query}: {body}"));
        if let Some(message) = message {
            assert_eq!(found, message, "{query}");
        }
    }
    assert_eq!(
        bench.maas_get("machines/?storage=root:10").await.status,
        501
    );
}

#[tokio::test]
async fn a_tag_without_machines_is_an_empty_rack_and_no_tag_is_an_error() {
    let bench = Bench::start(LabConfig {
        racks: 1,
        machines: 0,
        ..slow()
    })
    .await;
    let answer = bench.maas_get("machines/?tags=r1").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "[]"));
    assert_eq!(bench.maas_get("machines/?tags=r2").await.status, 400);
}

#[tokio::test]
async fn tags_are_listed_and_lead_to_machines() {
    let bench = two_racks().await;
    let tags = bench.maas_get("tags/").await.json();
    let listed: Vec<_> = tags
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ["ipmi", "r1", "r2"]);
    assert_eq!(
        bench.maas_get("tags/r1/").await.json()["resource_uri"],
        "/MAAS/api/2.0/tags/r1/"
    );
    assert_eq!(
        names(&bench.maas_get("tags/r2/?op=machines").await.json()),
        ["r2-m01", "r2-m02"]
    );
    for path in ["tags/x/", "tags/x/?op=machines"] {
        let answer = bench.maas_get(path).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (404, "No Tag matches the given query.")
        );
    }
    let answer = bench.maas_get("machines/nosuch/").await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (404, "No Machine matches the given query.")
    );
}

#[tokio::test]
async fn administrators_make_tags_and_move_machines() {
    let bench = two_racks().await;
    assert_eq!(
        bench.maas_post("tags/", &[("name", "r9")]).await.status,
        403
    );
    let bench = Bench::start(LabConfig {
        maas_admin: true,
        ..slow()
    })
    .await;
    assert_eq!(
        bench
            .maas_post("tags/", &[("name", "r9"), ("comment", "new")])
            .await
            .json()["comment"],
        "new"
    );
    assert_eq!(
        bench.maas_post("tags/", &[("name", "r9")]).await.status,
        400
    );
    assert_eq!(
        bench.maas_post("tags/", &[("name", "r 9")]).await.status,
        400
    );
    assert_eq!(bench.maas_post("tags/", &[]).await.status, 400);
    let (one, two) = (bench.system_id("r1-m01"), bench.system_id("r1-m02"));
    let moved = bench
        .maas_post(
            "tags/r9/?op=update_nodes",
            &[("add", &one), ("add", &two), ("remove", "x")],
        )
        .await;
    assert_eq!(moved.json(), json!({"added": 2, "removed": 0}));
    let moved = bench
        .maas_post("tags/r1/?op=update_nodes", &[("remove", &one)])
        .await;
    assert_eq!(moved.json(), json!({"added": 0, "removed": 1}));
    assert_eq!(
        names(&bench.maas_get("machines/?tags=r1").await.json()),
        ["r1-m02"]
    );
    assert_eq!(
        names(&bench.maas_get("machines/?tags=r9").await.json()),
        ["r1-m01", "r1-m02"]
    );
}
