//! Objects: contents too long for one message, in the layout of NATS's object stores (ADR-20), so that `nats object`
//! reads them. Chunks go out first and the object's entry last: a reader sees all of an object or none of it.
//!
//! Nothing is ever removed here: what an object of the same name had before, or a writer that died left, is forgotten
//! with the bucket's age and size. So whoever writes needs no right to take anything away.

use async_nats::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use bytes::Bytes;
use jiff::Timestamp;
use model::body;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::connect::Bus;
use crate::error::BusError;
use crate::wire::header;

/// How long a chunk is, in bytes: the usual size of object stores, far below what a message may be.
const CHUNK: usize = 128 << 10;

/// A bucket of objects.
#[derive(Clone)]
pub struct Objects {
    bus: Bus,
    name: String,
}

/// An object by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `SHA-256=` and the content's digest in base64 for addresses.
    pub digest: String,
    /// The content.
    pub content: Vec<u8>,
}

impl Object {
    /// An object with this content.
    pub fn new(content: Vec<u8>) -> Self {
        let digest = format!(
            "SHA-256={}",
            BASE64_URL_SAFE.encode(Sha256::digest(&content))
        );
        Self { digest, content }
    }
}

/// An object's entry, as every client of object stores writes it.
#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    bucket: String,
    nuid: String,
    size: u64,
    chunks: u64,
    digest: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
}

#[derive(Serialize, Deserialize)]
struct Options {
    #[serde(default)]
    max_chunk_size: usize,
}

impl Bus {
    /// The bucket of objects with this name. Nothing is asked of the broker.
    pub fn objects(&self, name: &str) -> Objects {
        Objects {
            bus: self.clone(),
            name: name.into(),
        }
    }
}

impl Objects {
    fn entry_subject(&self, name: &str) -> String {
        format!("$O.{}.M.{}", self.name, BASE64_URL_SAFE.encode(name))
    }

    fn chunk_subject(&self, nuid: &str) -> String {
        format!("$O.{}.C.{nuid}", self.name)
    }

    /// Stores an object under a name, in the place of what had it.
    ///
    /// # Errors
    /// As any publish; then what had the name before still has it.
    pub async fn put(&self, name: &str, object: &Object) -> Result<(), BusError> {
        // Their own each time: two writers of one object must not mix their chunks.
        let nuid = Uuid::new_v4().simple().to_string();
        let chunks = object.content.chunks(CHUNK);
        let count = chunks.len() as u64;
        for (number, chunk) in chunks.enumerate() {
            let headers = [(header::MESSAGE_ID, format!("{nuid}.{number}"))];
            self.store(
                &self.chunk_subject(&nuid),
                &headers,
                Bytes::copy_from_slice(chunk),
            )
            .await?;
        }
        let entry = Entry {
            name: name.into(),
            bucket: self.name.clone(),
            size: object.content.len() as u64,
            chunks: count,
            digest: object.digest.clone(),
            deleted: false,
            mtime: Some(Timestamp::now()),
            options: Some(Options {
                max_chunk_size: CHUNK,
            }),
            nuid,
        };
        let body = serde_json::to_vec(&entry).expect("an entry holds text and numbers");
        let headers = [
            (header::MESSAGE_ID, format!("{}.entry", entry.nuid)),
            (header::ROLLUP, "sub".to_owned()),
        ];
        self.store(&self.entry_subject(name), &headers, body.into())
            .await
    }

    async fn store(
        &self,
        subject: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<(), BusError> {
        let with = || {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.as_str());
            }
            map
        };
        let ack = self.bus.store(subject, with, &body, true).await?;
        match ack.error {
            None => Ok(()),
            Some(error) => Err(error.into_error(&format!("publishing on {subject}"))),
        }
    }

    /// The object of a name, if the bucket still has all of it.
    ///
    /// # Errors
    /// `Answer` when it is longer than `most` bytes or not what its entry says; else as any read.
    pub async fn get(&self, name: &str, most: u64) -> Result<Option<Object>, BusError> {
        let (stream, subject) = (format!("OBJ_{}", self.name), self.entry_subject(name));
        let Some(stored) = self.bus.last_on(&stream, &subject).await? else {
            return Ok(None);
        };
        let bad = |source| BusError::Answer {
            what: format!("reading object {name} of bucket {}", self.name),
            source,
        };
        let entry: Entry = body::read(&stored.body).map_err(|error| bad(error.into()))?;
        if entry.deleted {
            return Ok(None);
        }
        if entry.size > most {
            return Err(bad(format!("it has {} bytes", entry.size).into()));
        }
        let subject = self.chunk_subject(&entry.nuid);
        let (mut content, mut next) = (Vec::new(), 1);
        while (content.len() as u64) < entry.size {
            // The oldest messages go first when the bucket is full, and chunks are older than their entry.
            let Some(chunk) = self.bus.next_on(&stream, &subject, next).await? else {
                return Ok(None);
            };
            content.extend_from_slice(&chunk.body);
            next = chunk.sequence + 1;
        }
        let object = Object::new(content);
        match object.digest == entry.digest {
            true => Ok(Some(object)),
            // The first chunks may be gone while later ones are there.
            false if self.begins_late(&stream, &subject, &entry).await? => Ok(None),
            false => Err(bad("its digest is another than its entry says".into())),
        }
    }

    /// Whether some of an object's chunks are not there any more.
    async fn begins_late(
        &self,
        stream: &str,
        subject: &str,
        entry: &Entry,
    ) -> Result<bool, BusError> {
        let there = self.bus.subjects(stream, subject).await?;
        Ok(there.values().sum::<u64>() < entry.chunks)
    }
}
