//! The job document: its fields, and the shapes that `provision_data` may have.

use serde_json::{Map, Value, json};

use super::schema::{Field, Kind, OBJECTS, TEXT, TEXTS, object};

const ATTACHMENT: &[Field] = &[
    Field::required("agent", TEXT),
    Field::optional("device", TEXT),
];
const ATTACHMENTS: Kind = Kind::List {
    of: &Kind::Object(ATTACHMENT),
    shortest: 0,
    longest: usize::MAX,
};

const TEST_DATA: &[Field] = &[
    Field::optional("test_cmds", TEXT),
    Field::optional("attachments", ATTACHMENTS),
    Field::optional("test_username", TEXT),
    Field::optional("test_password", TEXT),
    Field::optional(
        "secrets",
        Kind::MappingOf {
            key: &Kind::Pattern(is_variable_name),
            value: &Kind::Pattern(is_secret_path),
        },
    ),
];

const RESERVE_DATA: &[Field] = &[
    Field::optional(
        "ssh_keys",
        Kind::List {
            of: &Kind::Pattern(is_key_source),
            shortest: 0,
            longest: usize::MAX,
        },
    ),
    Field::nullable("timeout", Kind::Duration),
];

/// The fields of a job document.
pub(super) const JOB: &[Field] = &[
    Field::optional("job_id", TEXT),
    Field::optional("parent_job_id", TEXT),
    Field::optional("name", TEXT),
    Field::optional("tags", TEXTS),
    Field::required("job_queue", Kind::Text { shortest: 1 }),
    Field::optional("global_timeout", Kind::Number),
    Field::optional("output_timeout", Kind::Number),
    Field::optional("allocation_timeout", Kind::Number),
    Field::nullable("provision_data", Kind::Provision),
    Field::optional("firmware_update_data", Kind::Mapping),
    Field::optional("test_data", Kind::Object(TEST_DATA)),
    Field::optional("allocate_data", Kind::Mapping),
    Field::optional("reserve_data", Kind::Object(RESERVE_DATA)),
    Field::optional("job_status_webhook", TEXT),
    Field::optional("job_priority", Kind::Number),
    Field::optional("exclude_agents", TEXTS),
    Field::optional("debug", Kind::Flag),
];

/// One shape of `provision_data`, and what must hold besides its fields.
struct Shape {
    fields: &'static [Field],
    holds: fn(&Map<String, Value>) -> bool,
}

const fn shape(fields: &'static [Field]) -> Shape {
    Shape {
        fields,
        holds: |_| true,
    }
}

/// In the order in which the server tries them; the first that fits wins.
static SHAPES: &[Shape] = &[
    // cm3
    shape(&[Field::required("url", Kind::Url)]),
    // maas
    shape(&[
        Field::optional("distro", TEXT),
        Field::optional("kernel", TEXT),
        Field::optional("user_data", TEXT),
        Field::optional("disks", OBJECTS),
        Field::optional("ephemeral", Kind::Flag),
    ]),
    // multi
    shape(&[Field::required(
        "jobs",
        Kind::List {
            of: &Kind::Mapping,
            shortest: 1,
            longest: usize::MAX,
        },
    )]),
    // muxpi
    Shape {
        fields: &[
            Field::optional("url", Kind::Url),
            Field::optional("use_attachment", TEXT),
            Field::optional("attachments", ATTACHMENTS),
            Field::optional("create_user", Kind::Flag),
            Field::optional("boot_check_url", TEXT),
            Field::optional("media", Kind::Choice(&["sd", "usb"])),
        ],
        holds: |data| data.contains_key("url") || data.contains_key("use_attachment"),
    },
    // noprovision
    shape(&[Field::optional("skip", Kind::Flag)]),
    // oem_autoinstall
    shape(&[
        Field::optional("url", Kind::Url),
        Field::optional("attachments", ATTACHMENTS),
        Field::optional("token_file", TEXT),
        Field::optional("user_data", TEXT),
        Field::optional("redeploy_cfg", TEXT),
        Field::optional("authorized_keys", TEXT),
        Field::optional("control_host_iso_url", TEXT),
        Field::optional("control_host_iso_type", TEXT),
        Field::optional("update_user_data", Kind::Flag),
    ]),
    // control_host_iot_custom
    Shape {
        fields: &[
            Field::optional("provisioning_timeout", Kind::Number),
            Field::optional("url", Kind::Url),
            Field::optional(
                "urls",
                Kind::List {
                    of: &Kind::Url,
                    shortest: 1,
                    longest: usize::MAX,
                },
            ),
            Field::optional(
                "attachments",
                Kind::List {
                    of: &Kind::Object(ATTACHMENT),
                    shortest: 0,
                    longest: 1,
                },
            ),
            Field::optional("agent_ssh_access", Kind::Flag),
            Field::optional("ubuntu_sso_email", Kind::Email),
            Field::required("provision_plan", Kind::Mapping),
        ],
        holds: one_image,
    },
    // control_host_iot_preset
    Shape {
        fields: &[
            Field::optional("provisioning_timeout", Kind::Number),
            Field::optional("url", Kind::Url),
            Field::optional(
                "urls",
                Kind::List {
                    of: &Kind::Url,
                    shortest: 1,
                    longest: usize::MAX,
                },
            ),
            Field::optional(
                "attachments",
                Kind::List {
                    of: &Kind::Object(ATTACHMENT),
                    shortest: 0,
                    longest: 1,
                },
            ),
            Field::optional("agent_ssh_access", Kind::Flag),
            Field::required("preset", TEXT),
            Field::optional("preset_kwargs", Kind::Mapping),
        ],
        holds: one_image,
    },
    // control_host_kvm_autoinstall
    shape(&[
        Field::optional("provisioning_timeout", Kind::Number),
        Field::required("url", Kind::Url),
        Field::required("robot_tasks", TEXTS),
        Field::optional("robot_retries", Kind::Number),
        Field::optional("autoinstall_storage_layout", TEXT),
        Field::optional("ubuntu_sso_email", TEXT),
        Field::optional("autoinstall_base_user_data", TEXT),
        Field::optional("autoinstall_oem", Kind::Flag),
        Field::optional("cmdline_append", TEXT),
    ]),
    // control_host_kvm_generic
    shape(&[
        Field::optional("provisioning_timeout", Kind::Number),
        Field::required("url", Kind::Url),
        Field::required("robot_tasks", TEXTS),
        Field::optional("robot_retries", Kind::Number),
        Field::required("live_image", Kind::Flag),
        Field::required("wait_until_ssh", Kind::Flag),
    ]),
    // control_host_kvm_oem_2204
    shape(&[
        Field::optional("provisioning_timeout", Kind::Number),
        Field::required("alloem_url", Kind::Url),
        Field::required("robot_tasks", TEXTS),
        Field::optional("robot_retries", Kind::Number),
        Field::optional("url", Kind::Url),
        Field::optional("oem", TEXT),
    ]),
    // control_host_kvm_preset
    shape(&[
        Field::optional("provisioning_timeout", Kind::Number),
        Field::optional("alloem_url", Kind::Url),
        Field::optional("autoinstall_base_user_data", TEXT),
        Field::optional("autoinstall_oem", Kind::Flag),
        Field::optional("autoinstall_storage_layout", TEXT),
        Field::optional("cmdline_append", TEXT),
        Field::optional("live_image", Kind::Flag),
        Field::optional("oem", TEXT),
        Field::required("preset", TEXT),
        Field::optional("robot_tasks", TEXTS),
        Field::optional("ubuntu_sso_email", TEXT),
        Field::optional("url", Kind::Url),
        Field::optional("wait_until_ssh", Kind::Flag),
    ]),
];

fn one_image(data: &Map<String, Value>) -> bool {
    let given = |name: &&&str| match data.get(**name) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(value) => !value.is_null(),
        None => false,
    };
    ["url", "urls", "attachments"].iter().filter(given).count() == 1
}

/// `provision_data` as the first shape that fits stores it.
pub(super) fn provision_data(value: &Value) -> Result<Value, Value> {
    if !value.is_object() {
        // The only complaint that is no list.
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        return Err(json!({"_schema": format!("Invalid data type: {shown}")}));
    }
    SHAPES
        .iter()
        .find_map(|shape| object(shape.fields, value).ok().filter(shape.holds))
        .map(Value::Object)
        .ok_or_else(|| json!({"_schema": ["Invalid provision data schema."]}))
}

/// Whether any `*_data` names attachments: such a job waits for their upload.
pub(super) fn has_attachments(document: &Map<String, Value>) -> bool {
    document
        .iter()
        .filter(|(name, _)| name.ends_with("_data"))
        .any(|(_, data)| {
            data.as_object()
                .is_some_and(|data| data.contains_key("attachments"))
        })
}

fn is_variable_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(word) && text.starts_with(|c: char| word(c) && !c.is_ascii_digit())
}

fn is_secret_path(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_/-".contains(c))
}

fn is_key_source(text: &str) -> bool {
    let name = text
        .strip_prefix("lp:")
        .or_else(|| text.strip_prefix("gh:"));
    name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_shapes_of_provision_data_are_taken() {
        for data in [
            json!({}),
            json!({"skip": true}),
            json!({"distro": "noble"}),
            json!({"distro": "noble", "ephemeral": "true", "disks": [{"a": 1}]}),
            json!({"url": "http://images.invalid/a.img"}),
            json!({"jobs": [{"job_queue": "q"}]}),
            json!({"url": "http://images.invalid/a.img", "media": "sd"}),
        ] {
            assert!(provision_data(&data).is_ok(), "{data}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        for data in [
            json!({"distro": 24}),
            json!({"distro": "noble", "skip": true}),
            json!({"jobs": []}),
            json!({"image": "x"}),
            json!({"media": "sd"}),
        ] {
            assert_eq!(
                provision_data(&data).unwrap_err(),
                json!({"_schema": ["Invalid provision data schema."]}),
                "{data}"
            );
        }
    }

    #[test]
    fn what_is_no_object_is_named() {
        let complaint = provision_data(&json!("noble")).unwrap_err();
        assert_eq!(complaint, json!({"_schema": "Invalid data type: noble"}));
    }

    #[test]
    fn keys_come_from_two_places_only() {
        assert!(is_key_source("lp:me") && is_key_source("gh:me"));
        assert!(!is_key_source("lp:") && !is_key_source("me") && !is_key_source("gh:a b"));
    }
}
