//! Records in JSON, written by compare-and-set.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::marker::PhantomData;

use async_nats::HeaderMap;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use model::body;
use model::record::Record;
use serde::Deserialize;
use serde::de::Error;

use crate::connect::Bus;
use crate::error::BusError;
use crate::read::{Reader, Start};
use crate::stored::Stored;
use crate::wire::header;

/// How many keys one reader asks for. The broker compares each with each, so more would cost more than another reader.
const KEYS: usize = 64;
/// How many such readers there are at a time.
const READERS: usize = 4;

/// A bucket whose values are of one type. Reads see every write that was confirmed before them, but for
/// [`get_many`](Self::get_many): one value is the leader's, and a list is read from a copy that has all that the leader
/// had.
pub struct Bucket<V> {
    bus: Bus,
    name: String,
    value: PhantomData<fn() -> V>,
}

impl<V> Clone for Bucket<V> {
    fn clone(&self) -> Self {
        Self {
            bus: self.bus.clone(),
            name: self.name.clone(),
            value: PhantomData,
        }
    }
}

/// A value with what is needed to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<V> {
    /// The value.
    pub value: V,
    /// Its revision.
    pub revision: u64,
}

/// What is known of a value without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The key.
    pub key: String,
    /// When it was last written.
    pub at: Timestamp,
    /// Whether whoever wrote it said that [nothing more will become of it](Record::is_over).
    pub is_over: bool,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Written; the value has this revision now.
    Done(u64),
    /// Not written, because another value is there than expected: read again, then decide.
    Conflict,
}

/// A change of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<V> {
    /// The key.
    pub key: String,
    /// Its value, or `None` when it was deleted.
    pub entry: Option<Entry<V>>,
}

impl Bus {
    /// The bucket with this name. Nothing is asked of the broker.
    pub fn bucket<V>(&self, name: &str) -> Bucket<V> {
        Bucket {
            bus: self.clone(),
            name: name.into(),
            value: PhantomData,
        }
    }
}

impl<V: Record> Bucket<V> {
    fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    fn key(&self, subject: &str) -> String {
        let prefix = self.subject("");
        subject.strip_prefix(&prefix).unwrap_or(subject).to_owned()
    }

    /// The value of a key, as the leader has it.
    ///
    /// # Errors
    /// `Malformed` when the value is no `V`, or of a later version than is known here; else as any read.
    pub async fn get(&self, key: &str) -> Result<Option<Entry<V>>, BusError> {
        match self.bus.last_on(&self.stream(), &self.subject(key)).await? {
            None => Ok(None),
            Some(stored) => self.entry(&stored),
        }
    }

    /// The values of several keys; those without a value are left out. With replicas it may miss a write of
    /// the last moment: compare-and-set what follows from it, or read the key with [`get`](Self::get).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_many(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<BTreeMap<String, Entry<V>>, BusError> {
        let subjects: BTreeSet<String> = keys.into_iter().map(|key| self.subject(&key)).collect();
        let subjects = Vec::from_iter(subjects);
        let chunks: Vec<Vec<String>> = subjects.chunks(KEYS).map(<[String]>::to_vec).collect();
        let reads = chunks.into_iter().map(async |subjects| {
            let reader = self
                .bus
                .read_each(&self.stream(), subjects, Start::LastOfEach)
                .await?;
            self.last_of(reader).await
        });
        futures_util::stream::iter(reads)
            .buffer_unordered(READERS)
            .try_concat()
            .await
    }

    /// Writes a key that has no value.
    ///
    /// # Errors
    /// `Unknown` when it may have been written; the caller must read before it goes on.
    pub async fn create(&self, key: &str, value: &V) -> Result<Written, BusError> {
        match self.write(key, Some(value), Some(0)).await? {
            Written::Done(revision) => Ok(Written::Done(revision)),
            // A deleted key has a revision, too: that of the marker.
            Written::Conflict => {
                match self.bus.last_on(&self.stream(), &self.subject(key)).await? {
                    Some(stored) if is_deleted(&stored) => {
                        self.write(key, Some(value), Some(stored.sequence)).await
                    }
                    _ => Ok(Written::Conflict),
                }
            }
        }
    }

    /// Replaces the value that has this revision.
    ///
    /// # Errors
    /// `Unknown` when it may have been written; the caller must read before it goes on.
    pub async fn update(&self, key: &str, value: &V, revision: u64) -> Result<Written, BusError> {
        self.write(key, Some(value), Some(revision)).await
    }

    /// Deletes a key: whatever it holds, or only this revision.
    ///
    /// # Errors
    /// `Unknown` when it may have been deleted.
    pub async fn delete(&self, key: &str, revision: Option<u64>) -> Result<Written, BusError> {
        self.write(key, None, revision).await
    }

    async fn write(
        &self,
        key: &str,
        value: Option<&V>,
        revision: Option<u64>,
    ) -> Result<Written, BusError> {
        let subject = self.subject(key);
        let headers = || {
            let mut headers = HeaderMap::new();
            if let Some(revision) = revision {
                headers.insert(header::EXPECTED_SUBJECT_SEQUENCE, revision.to_string());
            }
            match value {
                None => headers.insert(header::KV_OPERATION, "DEL"),
                Some(value) if value.is_over() => headers.insert(header::OVER, "1"),
                Some(_) => {}
            }
            headers
        };
        let body = match value {
            Some(value) => {
                serde_json::to_vec(value).map_err(|source| self.malformed(key, source))?
            }
            None => vec![],
        };
        // Never repeated after an unknown outcome: it would meet its own first attempt as a conflict.
        let ack = self
            .bus
            .store(&subject, headers, &body.into(), false)
            .await?;
        match ack.error {
            None => Ok(Written::Done(ack.seq)),
            Some(error) if error.is_conflict() => Ok(Written::Conflict),
            Some(error) => {
                Err(error.into_error(&format!("writing `{key}` of bucket `{}`", self.name)))
            }
        }
    }

    /// All keys, without their values; those of values that were deleted, too.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such bucket.
    pub async fn keys(&self) -> Result<Vec<String>, BusError> {
        let subjects = self
            .bus
            .subjects(&self.stream(), &self.subject(">"))
            .await?;
        Ok(subjects.keys().map(|subject| self.key(subject)).collect())
    }

    /// What is known of each key that matches the filter (`>` for all) without its value, the one that was written last first.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such bucket.
    pub async fn heads(&self, filter: &str) -> Result<Vec<Head>, BusError> {
        let reader = self
            .bus
            .read_whole(
                &self.stream(),
                &self.subject(filter),
                Start::LastOfEach,
                false,
            )
            .await?;
        let stored = reader.to_end().await?;
        // Nothing is newer than what comes last. What is written meanwhile may come again.
        let mut known = HashSet::new();
        let latest_first = stored.into_iter().rev();
        let newest = latest_first.filter(|stored| known.insert(stored.subject.clone()));
        Ok(newest
            .filter(|stored| !is_deleted(stored))
            .map(|stored| Head {
                key: self.key(&stored.subject),
                at: stored.time,
                is_over: stored.header(header::OVER).is_some(),
            })
            .collect())
    }

    /// All keys that match the filter (`>` for all), with their values.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn entries(&self, filter: &str) -> Result<BTreeMap<String, Entry<V>>, BusError> {
        let reader = self
            .bus
            .read_whole(
                &self.stream(),
                &self.subject(filter),
                Start::LastOfEach,
                true,
            )
            .await?;
        self.last_of(reader).await
    }

    /// The newest value of each key that is read.
    async fn last_of(&self, reader: Reader) -> Result<BTreeMap<String, Entry<V>>, BusError> {
        let mut entries = BTreeMap::new();
        for stored in reader.to_end().await? {
            let key = self.key(&stored.subject);
            match self.entry(&stored)? {
                Some(entry) => entries.insert(key, entry),
                None => entries.remove(&key),
            };
        }
        Ok(entries)
    }

    /// What was written from `start` on. A bucket that keeps one value per key has each key once.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such bucket.
    pub async fn changes(&self, start: Start) -> Result<Changes<V>, BusError> {
        let reader = self
            .bus
            .read_whole(&self.stream(), &self.subject(">"), start, true)
            .await?;
        Ok(Changes {
            bucket: self.clone(),
            reader,
        })
    }

    fn entry(&self, stored: &Stored) -> Result<Option<Entry<V>>, BusError> {
        if is_deleted(stored) {
            return Ok(None);
        }
        let value = parse(&stored.body)
            .map_err(|source| self.malformed(&self.key(&stored.subject), source))?;
        Ok(Some(Entry {
            value,
            revision: stored.sequence,
        }))
    }

    fn malformed(&self, key: &str, source: serde_json::Error) -> BusError {
        BusError::Malformed {
            bucket: self.name.clone(),
            key: key.into(),
            source,
        }
    }
}

/// Reads a record, unless a later racktick wrote it: written back, it would lose what is not known here.
fn parse<V: Record>(body: &[u8]) -> Result<V, serde_json::Error> {
    #[derive(Deserialize)]
    struct Version {
        v: u8,
    }
    let parsed = body::read::<V>(body);
    let version = match &parsed {
        Ok(value) => Some(value.version()),
        // A later form need not parse; its version says more than what was stumbled over.
        Err(_) => body::read(body).ok().map(|Version { v }| v),
    };
    match version.filter(|version| *version > V::LATEST) {
        Some(version) => Err(serde_json::Error::custom(format!(
            "it has version {version}, and this racktick knows {}: upgrade this racktick",
            V::LATEST
        ))),
        None => parsed,
    }
}

fn is_deleted(stored: &Stored) -> bool {
    matches!(stored.header(header::KV_OPERATION), Some("DEL" | "PURGE"))
}

/// The changes of a bucket, in order.
pub struct Changes<V> {
    bucket: Bucket<V>,
    reader: Reader,
}

impl<V: Record> Changes<V> {
    /// How many changes are stored already and still to come. Zero after the last value that was there at first.
    pub fn pending(&self) -> u64 {
        self.reader.pending()
    }

    /// The next change; waits for ever if need be. Can be dropped while it waits.
    ///
    /// # Errors
    /// `Malformed` for a value that is no `V`, after which the next call goes on with the next change. Anything else
    /// is the end: the bucket is gone.
    pub async fn next(&mut self) -> Result<Change<V>, BusError> {
        let stored = self.reader.next().await?;
        self.change(&stored)
    }

    /// The next change that is stored already, and `None` when all were given.
    ///
    /// # Errors
    /// As [`next`](Self::next), and when the broker cannot be asked any more.
    pub async fn next_stored(&mut self) -> Result<Option<Change<V>>, BusError> {
        match self.reader.next_stored().await? {
            Some(stored) => self.change(&stored).map(Some),
            None => Ok(None),
        }
    }

    fn change(&self, stored: &Stored) -> Result<Change<V>, BusError> {
        let entry = self.bucket.entry(stored)?;
        let key = self.bucket.key(&stored.subject);
        Ok(Change { key, entry })
    }
}
