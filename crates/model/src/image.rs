//! What a job asks to be deployed.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The longest word that is kept, in bytes. Words of MAAS, such as `noble` and `hwe-24.04`, are much shorter.
const LONGEST: usize = 128;

/// What a job's document asks to be deployed. What it leaves out is for the device connector to choose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// MAAS's word for the release or image, such as `noble`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro: Option<String>,
    /// MAAS's word for the kernel, such as `hwe-24.04`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

impl Image {
    /// What this job document asks for.
    pub fn of(document: &Value) -> Self {
        let asked = |name: &str| {
            let word = document.get("provision_data")?.get(name)?.as_str()?;
            (!word.is_empty()).then(|| word[..word.floor_char_boundary(LONGEST)].to_owned())
        };
        Self {
            distro: asked("distro"),
            kernel: asked("kernel"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_document_says_is_kept_and_nothing_else() {
        let asked = |document| {
            let Image { distro, kernel } = Image::of(&document);
            (distro, kernel)
        };
        let both = json!({"provision_data": {"distro": "noble", "kernel": "hwe-24.04"}});
        assert_eq!(
            asked(both),
            (Some("noble".into()), Some("hwe-24.04".into()))
        );
        for none in [
            json!({}),
            json!(null),
            json!({"provision_data": null}),
            json!({"provision_data": {"distro": 24, "kernel": ""}}),
        ] {
            assert_eq!(asked(none), (None, None));
        }
        let long = json!({"provision_data": {"distro": "é".repeat(1000)}});
        assert_eq!(asked(long).0, Some("é".repeat(64)));
    }
}
