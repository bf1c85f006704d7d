//! Records carry the version of their form, so that a process that is not upgraded yet leaves those of a later one
//! alone instead of writing them back without what it does not know.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cycle::CycleRecord;
use crate::machine::MachineRecord;
use crate::rack::RackRecord;

/// The value of a bucket.
pub trait Record: Serialize + DeserializeOwned {
    /// The latest version known here.
    const LATEST: u8;

    /// The version of this one.
    fn version(&self) -> u8;

    /// Whether nothing more will become of it, so that whoever looks for what goes on need not read it. It is told beside
    /// the record; of one that an earlier version wrote nothing is told.
    fn is_over(&self) -> bool {
        false
    }
}

impl Record for RackRecord {
    const LATEST: u8 = Self::VERSION;

    fn version(&self) -> u8 {
        self.v
    }
}

impl Record for MachineRecord {
    const LATEST: u8 = Self::VERSION;

    fn version(&self) -> u8 {
        self.v
    }
}

impl Record for CycleRecord {
    const LATEST: u8 = Self::VERSION;

    fn version(&self) -> u8 {
        self.v
    }

    fn is_over(&self) -> bool {
        self.is_complete()
    }
}
