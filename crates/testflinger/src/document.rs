use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// A job to submit: the template's fields, and what makes it this one job.
#[derive(Debug, Clone, Copy)]
pub struct JobDocument<'a> {
    /// Our id, in lower case and with dashes: the server stores it as it comes.
    pub job_id: &'a str,
    /// The queue to put it in.
    pub job_queue: &'a str,
    /// For people.
    pub name: &'a str,
    /// What it can be found by.
    pub tags: &'a [String],
    /// All other fields. One that is named like a field above does not count.
    pub template: &'a Map<String, Value>,
}

impl Serialize for JobDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("job_id", self.job_id)?;
        map.serialize_entry("job_queue", self.job_queue)?;
        map.serialize_entry("name", self.name)?;
        map.serialize_entry("tags", self.tags)?;
        for (field, value) in self.template {
            if !matches!(field.as_str(), "job_id" | "job_queue" | "name" | "tags") {
                map.serialize_entry(field, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_cannot_take_a_jobs_identity_away() {
        let template =
            json!({"job_id": "other", "job_queue": "other", "provision_data": {"distro": "noble"}});
        let tags = ["racktick".to_owned()];
        let document = JobDocument {
            job_id: "id",
            job_queue: "node1",
            name: "racktick r7 node1",
            tags: &tags,
            template: template.as_object().unwrap(),
        };
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(
            text,
            r#"{"job_id":"id","job_queue":"node1","name":"racktick r7 node1","tags":["racktick"],"provision_data":{"distro":"noble"}}"#
        );
    }
}
