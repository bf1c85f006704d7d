//! Machines as the API shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::world::machine::Machine;

/// A machine object, with the fields that clients read and the size of a small real one.
#[derive(Serialize)]
pub(super) struct MachineObject<'a> {
    system_id: &'a str,
    hostname: &'a str,
    fqdn: String,
    domain: Named<'a>,
    status: u8,
    status_name: &'static str,
    status_action: &'static str,
    status_message: Option<&'a str>,
    power_state: &'a str,
    power_type: &'static str,
    tag_names: Vec<&'a str>,
    zone: Place<'a>,
    pool: Place<'a>,
    owner: Option<&'a str>,
    owner_data: &'a BTreeMap<String, String>,
    workload_annotations: &'a BTreeMap<String, String>,
    ip_addresses: &'a [String],
    interface_set: [Interface<'a>; 1],
    boot_interface: Interface<'a>,
    locked: bool,
    netboot: bool,
    osystem: &'a str,
    distro_series: &'a str,
    hwe_kernel: Option<&'a str>,
    min_hwe_kernel: &'static str,
    ephemeral_deploy: bool,
    agent_name: &'a str,
    architecture: &'static str,
    cpu_count: u32,
    cpu_speed: u32,
    memory: u32,
    storage: f64,
    hardware_info: Value,
    hardware_uuid: String,
    description: &'a str,
    error_description: &'a str,
    commissioning_status: i8,
    commissioning_status_name: &'static str,
    testing_status: i8,
    testing_status_name: &'static str,
    current_commissioning_result_id: u64,
    current_installation_result_id: Option<u64>,
    current_testing_result_id: u64,
    blockdevice_set: Value,
    physicalblockdevice_set: Value,
    virtualblockdevice_set: [Value; 0],
    raids: [Value; 0],
    volume_groups: [Value; 0],
    bcaches: [Value; 0],
    special_filesystems: [Value; 0],
    default_gateways: Value,
    node_type: u8,
    node_type_name: &'static str,
    parent: Option<Value>,
    address_ttl: Option<u32>,
    swap_size: Option<u64>,
    resource_uri: String,
}

#[derive(Serialize)]
struct Named<'a> {
    id: u8,
    name: &'a str,
    authoritative: bool,
    ttl: Option<u32>,
    is_default: bool,
    resource_uri: &'static str,
}

#[derive(Serialize)]
struct Place<'a> {
    id: u8,
    name: &'a str,
    description: &'static str,
    resource_uri: String,
}

#[derive(Serialize)]
struct Interface<'a> {
    id: u64,
    name: &'static str,
    r#type: &'static str,
    mac_address: &'a str,
    enabled: bool,
    link_connected: bool,
    link_speed: u32,
    links: Vec<Value>,
    vlan: Option<Value>,
    parents: [&'static str; 0],
    children: [&'static str; 0],
    system_id: &'a str,
    resource_uri: String,
}

pub(crate) const CPU_COUNT: u32 = 16;
pub(crate) const MEMORY_MIB: u32 = 65_536;

impl<'a> MachineObject<'a> {
    pub(super) fn of(machine: &'a Machine) -> Self {
        let disk = json!([{
            "id": machine.id,
            "name": "sda",
            "type": "physical",
            "size": 480_103_981_056_u64,
            "block_size": 512,
            "model": "SSD",
            "serial": format!("LAB{:08}", machine.id),
            "tags": ["ssd"],
            "partitions": [],
            "system_id": machine.system_id,
        }]);
        Self {
            system_id: &machine.system_id,
            hostname: &machine.hostname,
            fqdn: format!("{}.{}", machine.hostname, machine.domain),
            domain: Named {
                id: 0,
                name: &machine.domain,
                authoritative: true,
                ttl: None,
                is_default: true,
                resource_uri: "/MAAS/api/2.0/domains/0/",
            },
            status: machine.status.number(),
            status_name: machine.status.label(),
            status_action: "",
            status_message: machine.status_message.as_deref(),
            power_state: &machine.power_state,
            power_type: "ipmi",
            tag_names: machine.tags.iter().map(String::as_str).collect(),
            zone: Place {
                id: 1,
                name: &machine.zone,
                description: "",
                resource_uri: format!("/MAAS/api/2.0/zones/{}/", machine.zone),
            },
            pool: Place {
                id: 0,
                name: &machine.pool,
                description: "Default pool",
                resource_uri: "/MAAS/api/2.0/resourcepool/0/".to_owned(),
            },
            owner: machine.owner.as_deref(),
            owner_data: &machine.owner_data,
            workload_annotations: &machine.owner_data,
            ip_addresses: &machine.ip_addresses,
            interface_set: [interface(machine)],
            boot_interface: interface(machine),
            locked: machine.locked,
            netboot: machine.status != crate::world::machine::Status::Deployed,
            osystem: &machine.osystem,
            distro_series: &machine.distro_series,
            hwe_kernel: machine.hwe_kernel.as_deref(),
            min_hwe_kernel: "",
            ephemeral_deploy: machine.ephemeral_deploy,
            agent_name: &machine.agent_name,
            architecture: "amd64/generic",
            cpu_count: CPU_COUNT,
            cpu_speed: 2400,
            memory: MEMORY_MIB,
            storage: 480_103.98,
            hardware_info: json!({
                "system_vendor": "Lab",
                "system_product": "Pretend server",
                "system_family": "Unknown",
                "system_version": "1",
                "system_sku": "Unknown",
                "system_serial": format!("S{:08}", machine.id),
                "cpu_model": "Pretend CPU",
                "mainboard_vendor": "Lab",
                "mainboard_product": "Unknown",
                "mainboard_serial": "Unknown",
                "mainboard_version": "Unknown",
                "mainboard_firmware_vendor": "Unknown",
                "mainboard_firmware_date": "Unknown",
                "mainboard_firmware_version": "Unknown",
                "chassis_vendor": "Unknown",
                "chassis_type": "Unknown",
                "chassis_serial": "Unknown",
                "chassis_version": "Unknown",
            }),
            hardware_uuid: format!("00000000-0000-4000-8000-{:012x}", machine.id),
            description: &machine.description,
            error_description: &machine.error_description,
            commissioning_status: 2,
            commissioning_status_name: "Passed",
            testing_status: 2,
            testing_status_name: "Passed",
            current_commissioning_result_id: machine.id * 3,
            current_installation_result_id: (!machine.osystem.is_empty())
                .then_some(machine.id * 3 + 1),
            current_testing_result_id: machine.id * 3 + 2,
            blockdevice_set: disk.clone(),
            physicalblockdevice_set: disk,
            virtualblockdevice_set: [],
            raids: [],
            volume_groups: [],
            bcaches: [],
            special_filesystems: [],
            default_gateways: json!({
                "ipv4": {"gateway_ip": null, "link_id": null},
                "ipv6": {"gateway_ip": null, "link_id": null},
            }),
            node_type: 0,
            node_type_name: "Machine",
            parent: None,
            address_ttl: None,
            swap_size: None,
            resource_uri: format!("/MAAS/api/2.0/machines/{}/", machine.system_id),
        }
    }

    /// As a value, to add what only one operation answers.
    pub(super) fn into_map(self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

fn interface(machine: &Machine) -> Interface<'_> {
    let links = machine
        .ip_addresses
        .iter()
        .map(|address| json!({"id": machine.id, "mode": "auto", "ip_address": address, "subnet": {"name": "10.0.0.0/8"}}))
        .collect();
    Interface {
        id: machine.id,
        name: "eth0",
        r#type: "physical",
        mac_address: &machine.mac_address,
        enabled: true,
        link_connected: true,
        link_speed: 10_000,
        links,
        vlan: Some(json!({"id": 5001, "vid": 0, "name": "untagged", "fabric": "fabric-0"})),
        parents: [],
        children: [],
        system_id: &machine.system_id,
        resource_uri: format!(
            "/MAAS/api/2.0/nodes/{}/interfaces/{}/",
            machine.system_id, machine.id
        ),
    }
}
