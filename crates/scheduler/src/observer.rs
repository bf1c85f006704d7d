use std::time::Duration;

/// Sees what a scheduler does.
pub trait Observer: Send + Sync {
    /// A pass is over; `succeeded` says how. What failed is tried again by the next one.
    fn passed(&self, pass: Pass, succeeded: bool, took: Duration);

    /// So many slots are armed.
    fn armed(&self, slots: usize);

    /// The sweep brought something back that had fallen out.
    fn brought_back(&self, what: Lost);
}

/// What a scheduler does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Compares armed slots with wanted ones.
    Arm,
    /// Looks for what fell out.
    Sweep,
}

impl Pass {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Arm, Self::Sweep];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arm => "arm",
            Self::Sweep => "sweep",
        }
    }
}

/// What the sweep brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// A message that no worker survived: it became a dead letter.
    Dead,
    /// A look that did not know of its job's cancel.
    Cancel,
    /// A look at a job.
    Look,
    /// A submit.
    Submit,
    /// The end of a cycle.
    End,
    /// A slot that never ticked.
    Slot,
}

impl Lost {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Dead,
        Self::Cancel,
        Self::Look,
        Self::Submit,
        Self::End,
        Self::Slot,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Cancel => "cancel",
            Self::Look => "look",
            Self::Submit => "submit",
            Self::End => "end",
            Self::Slot => "slot",
        }
    }
}
