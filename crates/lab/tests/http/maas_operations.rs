//! What changes machines.

use lab::LabConfig;
use serde_json::json;

use crate::client::{Bench, fast, slow};

#[tokio::test]
async fn a_machine_goes_round_through_allocate_deploy_and_release() {
    let bench = Bench::start(LabConfig {
        speed: 3000.0,
        ..fast()
    })
    .await;
    let id = bench.system_id("r1-m01");
    let allocated = bench
        .maas_post("machines/?op=allocate", &[("system_id", &id)])
        .await
        .json();
    assert_eq!(
        (&allocated["status_name"], &allocated["owner"]),
        (&json!("Allocated"), &json!("lab"))
    );
    assert!(allocated["constraints_by_type"].is_object());
    let again = bench
        .maas_post("machines/?op=allocate", &[("system_id", &id)])
        .await;
    assert_eq!(
        (again.status, again.text),
        (409, format!("No machine with system ID {id} available."))
    );
    let path = format!("machines/{id}/");
    let deploying = bench
        .maas_post(&format!("{path}?op=deploy"), &[("distro_series", "jammy")])
        .await
        .json();
    assert_eq!(
        (&deploying["status_name"], &deploying["power_state"]),
        (&json!("Deploying"), &json!("on"))
    );
    bench
        .until_lab(|lab| lab.machine("r1-m01").unwrap().status_name == "Deployed")
        .await;
    let deployed = bench.maas_get(&path).await.json();
    assert_eq!(
        (&deployed["distro_series"], &deployed["netboot"]),
        (&json!("jammy"), &json!(false))
    );
    assert_eq!(deployed["ip_addresses"].as_array().unwrap().len(), 1);
    assert_eq!(
        bench
            .maas_get("machines/?op=list_allocated")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let second = bench.maas_post(&format!("{path}?op=deploy"), &[]).await;
    assert_eq!(
        (second.status, second.text.as_str()),
        (
            409,
            "Can't deploy a machine that is in the 'Deployed' state"
        )
    );
    let releasing = bench
        .maas_post(&format!("{path}?op=release"), &[])
        .await
        .json();
    assert_eq!(releasing["status_name"], "Releasing");
    assert_eq!(
        bench
            .maas_post(&format!("{path}?op=release"), &[])
            .await
            .status,
        200
    );
    bench
        .until_lab(|lab| lab.machine("r1-m01").unwrap().status_name == "Ready")
        .await;
    let ready = bench.maas_get(&path).await.json();
    assert_eq!(
        (&ready["owner"], &ready["ip_addresses"], &ready["osystem"]),
        (&json!(null), &json!([]), &json!(""))
    );
    assert_eq!(
        bench
            .maas_post(&format!("{path}?op=release"), &[])
            .await
            .json()["status_name"],
        "Ready"
    );
}

#[tokio::test]
async fn a_failing_deployment_ends_as_such() {
    let bench = Bench::start(LabConfig {
        fail_rate: 1.0,
        ..fast()
    })
    .await;
    let id = bench.system_id("r1-m01");
    // Multipart, as MAAS's own command line sends it; a Ready machine is allocated first.
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"distro_series\"\r\n\r\nnoble\r\n--b--\r\n";
    let request = bench
        .maas("POST", &format!("machines/{id}/?op=deploy"))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body);
    assert_eq!(bench.send(request).await.json()["distro_series"], "noble");
    bench
        .until_lab(|lab| lab.machine("r1-m01").unwrap().status_name == "Failed deployment")
        .await;
}

#[tokio::test]
async fn machines_of_others_and_locked_ones_are_left_alone() {
    let bench = Bench::start(slow()).await;
    let id = bench.system_id("r1-m01");
    bench
        .call(
            "PATCH",
            "/lab/machines/r1-m01",
            json!({"status": "deployed", "owner": "alice"}),
        )
        .await;
    for op in [
        "release",
        "deploy",
        "power_off",
        "abort",
        "mark_broken",
        "lock",
    ] {
        let answer = bench
            .maas_post(&format!("machines/{id}/?op={op}"), &[])
            .await;
        assert_eq!((answer.status, answer.text.as_str()), (403, ""), "{op}");
    }
    bench
        .call("PATCH", "/lab/machines/r1-m01", json!({"owner": "lab"}))
        .await;
    assert_eq!(
        bench
            .maas_post(&format!("machines/{id}/?op=lock"), &[])
            .await
            .json()["locked"],
        true
    );
    assert_eq!(
        bench
            .maas_post(&format!("machines/{id}/?op=lock"), &[])
            .await
            .status,
        409
    );
    assert_eq!(
        bench
            .maas_post(&format!("machines/{id}/?op=release"), &[])
            .await
            .status,
        403
    );
    assert_eq!(
        bench
            .maas_post(&format!("machines/{id}/?op=unlock"), &[])
            .await
            .json()["locked"],
        false
    );
    assert_eq!(
        bench
            .maas_post(&format!("machines/{id}/?op=release"), &[])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn what_the_state_does_not_allow_is_a_conflict() {
    let bench = Bench::start(slow()).await;
    let id = bench.system_id("r1-m01");
    let post = async |op: &str, fields: &[(&str, &str)]| {
        let answer = bench
            .maas_post(&format!("machines/{id}/?op={op}"), fields)
            .await;
        (answer.status, answer.text)
    };
    assert_eq!(post("lock", &[]).await.0, 409);
    assert_eq!(post("unlock", &[]).await.0, 409);
    assert_eq!(
        post("power_on", &[]).await,
        (
            409,
            "Can't start node: it hasn't been allocated.".to_owned()
        )
    );
    assert_eq!(post("power_off", &[]).await, (200, "null".to_owned()));
    let expected = format!("Cannot abort in current state: node {id} is in state Ready.");
    assert_eq!(post("abort", &[]).await, (409, expected));
    assert_eq!(post("mark_broken", &[]).await, (403, String::new()));
    assert_eq!(post("mark_fixed", &[]).await.0, 403);
    assert_eq!(
        post("set_storage_layout", &[("storage_layout", "flat")])
            .await
            .0,
        403
    );
    assert_eq!(post("deploy", &[("distro_series", "hardy")]).await.0, 400);
    bench
        .call(
            "PATCH",
            "/lab/machines/r1-m01",
            json!({"status": "testing"}),
        )
        .await;
    let expected = "Machine cannot be released in its current state ('Testing').".to_owned();
    assert_eq!(post("release", &[]).await, (409, expected));
    bench
        .call(
            "PATCH",
            "/lab/machines/r1-m01",
            json!({"status": "deploying", "owner": "lab"}),
        )
        .await;
    assert_eq!(post("abort", &[]).await.0, 200);
    assert_eq!(
        bench.lab.machine("r1-m01").unwrap().status_name,
        "Allocated"
    );
    assert_eq!(post("mark_broken", &[("comment", "smoke")]).await.0, 200);
    assert_eq!(bench.lab.machine("r1-m01").unwrap().status_name, "Broken");
}

#[tokio::test]
async fn allocation_says_why_nothing_is_free() {
    let bench = Bench::start(LabConfig {
        machines: 1,
        ..slow()
    })
    .await;
    let allocate = async |fields: &[(&str, &str)]| {
        let answer = bench.maas_post("machines/?op=allocate", fields).await;
        (answer.status, answer.text)
    };
    assert_eq!(allocate(&[("tags", "nosuch")]).await.0, 400);
    assert_eq!(
        allocate(&[("tags", "r1"), ("dry_run", "true")]).await.0,
        200
    );
    assert_eq!(allocate(&[("tags", "r1")]).await.0, 200);
    assert_eq!(
        allocate(&[]).await,
        (409, "No machine available.".to_owned())
    );
    let expected = "No available machine matches constraints: tags=r1".to_owned();
    assert_eq!(allocate(&[("tags", "r1")]).await, (409, expected));
    let id = bench.system_id("r1-m01");
    let released = bench
        .maas_post("machines/?op=release", &[("machines", &id)])
        .await;
    assert_eq!(released.json(), json!([id]));
    assert_eq!(
        bench
            .maas_post("machines/?op=release", &[("machines", "nosuch")])
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn power_is_read_without_and_its_password_only_with_rights() {
    let bench = Bench::start(slow()).await;
    let id = bench.system_id("r1-m01");
    let state = bench
        .maas_get(&format!("machines/{id}/?op=query_power_state"))
        .await;
    assert_eq!(state.json(), json!({"state": "off"}));
    assert_eq!(
        bench
            .maas_get(&format!("machines/{id}/?op=power_parameters"))
            .await
            .status,
        403
    );
}
