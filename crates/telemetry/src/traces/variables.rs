//! What the variables of OpenTelemetry say. Its library asks the process's environment alone; a setting may stand in `.env`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use opentelemetry::KeyValue;
use percent_encoding::percent_decode_str;

use super::BadCollector;

pub(super) struct Variables<'v>(pub(super) &'v BTreeMap<String, String>);

/// For traces alone, and for everything.
const ENDPOINT: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
const TIMEOUT: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];

/// The attribute with the name of a service.
const SERVICE: &str = "service.name";

impl Variables<'_> {
    /// An empty variable counts as unset.
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// Where traces go; `None`: nowhere.
    pub(super) fn endpoint(&self) -> Option<String> {
        let off = self.get("OTEL_SDK_DISABLED");
        if off.is_some_and(|off| off.eq_ignore_ascii_case("true")) {
            return None;
        }
        let [of_traces, of_all] = ENDPOINT;
        match (self.get(of_traces), self.get(of_all)) {
            (Some(whole), _) => Some(whole.to_owned()),
            (None, Some(base)) => Some(format!("{}/v1/traces", base.trim_end_matches('/'))),
            (None, None) => None,
        }
    }

    /// What every request says besides.
    pub(super) fn headers(&self) -> HashMap<String, String> {
        let said = HEADERS.iter().find_map(|name| self.get(name));
        pairs(said.unwrap_or_default()).collect()
    }

    /// How long the collector may take.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, BadCollector> {
        let said = TIMEOUT
            .iter()
            .find_map(|name| Some((name, self.get(name)?)));
        let Some((name, value)) = said else {
            return Ok(None);
        };
        match value.trim().parse() {
            Ok(milliseconds) => Ok(Some(Duration::from_millis(milliseconds))),
            Err(_) => Err(BadCollector::Timeout {
                name,
                value: value.to_owned(),
            }),
        }
    }

    /// What is said of this process, its name among them.
    pub(super) fn attributes(&self, service: &'static str) -> Vec<KeyValue> {
        let said = self.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let mut attributes: BTreeMap<String, String> = pairs(said).collect();
        match self.get("OTEL_SERVICE_NAME") {
            Some(name) => {
                attributes.insert(SERVICE.into(), name.into());
            }
            None => {
                let name = attributes.entry(SERVICE.into());
                name.or_insert_with(|| service.into());
            }
        }
        let attribute = |(name, value)| KeyValue::new(name, value);
        attributes.into_iter().map(attribute).collect()
    }
}

/// `name=value`, with commas between and what is special as `%2C` is.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(',').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8_lossy();
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(said: &[(&str, &str)]) -> Option<String> {
        let said = said
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        Variables(&said.collect()).endpoint()
    }

    #[test]
    fn the_endpoint_of_traces_is_whole_and_the_one_of_all_a_beginning() {
        let [of_traces, of_all] = ENDPOINT;
        for (said, goes) in [
            (&[][..], None),
            (&[(of_all, "")], None),
            (
                &[(of_all, "http://c:4318")],
                Some("http://c:4318/v1/traces"),
            ),
            (
                &[(of_all, "http://c/otlp/")],
                Some("http://c/otlp/v1/traces"),
            ),
            (
                &[(of_all, "http://c"), (of_traces, "http://t/x")],
                Some("http://t/x"),
            ),
            (&[(of_all, "http://c"), ("OTEL_SDK_DISABLED", "True")], None),
        ] {
            assert_eq!(endpoint(said).as_deref(), goes, "{said:?}");
        }
    }

    #[test]
    fn headers_time_limit_and_attributes_are_read() {
        let mut said = BTreeMap::from([
            (
                HEADERS[1].to_owned(),
                "authorization=Basic%20a%3D, x = y ,nothing".to_owned(),
            ),
            (TIMEOUT[1].to_owned(), "2500".to_owned()),
            (
                "OTEL_RESOURCE_ATTRIBUTES".to_owned(),
                "site=north,service.name=ours".to_owned(),
            ),
        ]);
        let variables = Variables(&said);
        let headers = variables.headers();
        assert_eq!(
            (&*headers["authorization"], &*headers["x"]),
            ("Basic a=", "y")
        );
        assert_eq!(headers.len(), 2);
        assert_eq!(
            variables.timeout().unwrap(),
            Some(Duration::from_millis(2500))
        );
        let name = |said: &BTreeMap<String, String>| {
            let attributes = Variables(said).attributes("racktick-worker");
            let name = attributes.iter().find(|one| one.key.as_str() == SERVICE);
            name.unwrap().value.to_string()
        };
        assert_eq!(name(&said), "ours");
        said.insert("OTEL_SERVICE_NAME".into(), "mine".into());
        assert_eq!(name(&said), "mine");
        assert_eq!(name(&BTreeMap::new()), "racktick-worker");
        said.insert(TIMEOUT[0].into(), "2s".into());
        let error = Variables(&said).timeout().unwrap_err().to_string();
        assert!(
            error.contains("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT is `2s`"),
            "{error}"
        );
    }
}
