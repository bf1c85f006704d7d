//! What can be answered, and where it says as of when it is true.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::broker::BrokerView;
use crate::claims::ClaimView;
use crate::views::{AsOf, CycleView, Events, Fleet, JobView, List, MachineView, RackView, Trends};

/// A view that says as of when it is true.
pub(super) trait View: Serialize + Send + 'static {
    /// How it says so.
    type Moment: Copy + Default + Serialize + Into<Option<Timestamp>>;

    /// Whether it says so at its beginning, in a field with this name, and nowhere else.
    const BEGINS_WITH: Option<&str> = None;

    /// Where it says so.
    fn moment(&mut self) -> &mut Self::Moment;

    /// The same, with every view inside it, which is as of the same moment.
    fn set_moments(&mut self, moment: Self::Moment) {
        *self.moment() = moment;
    }
}

impl From<AsOf> for Option<Timestamp> {
    fn from(as_of: AsOf) -> Self {
        as_of.at
    }
}

macro_rules! views {
    ($($view:ty),+) => {
        $(impl View for $view {
            type Moment = AsOf;

            const BEGINS_WITH: Option<&str> = Some("as_of");

            fn moment(&mut self) -> &mut AsOf {
                &mut self.as_of
            }
        })+
    };
}

views!(CycleView, Events, Fleet, JobView, RackView, Trends);

impl View for MachineView {
    type Moment = AsOf;

    fn moment(&mut self) -> &mut AsOf {
        &mut self.as_of
    }

    fn set_moments(&mut self, moment: AsOf) {
        self.as_of = moment;
        let jobs = [
            &mut self.current,
            &mut self.last_failure,
            &mut self.last_pass,
        ];
        for job in jobs.into_iter().flatten() {
            job.as_of = moment;
        }
    }
}

impl<T: Serialize + Send + 'static> View for List<T> {
    type Moment = AsOf;

    const BEGINS_WITH: Option<&str> = Some("as_of");

    fn moment(&mut self) -> &mut AsOf {
        &mut self.as_of
    }
}

/// How the broker stands, and which machines are claimed.
#[derive(Serialize, ToSchema)]
pub(super) struct System {
    #[serde(flatten)]
    pub(super) broker: BrokerView,
    /// How many machines a job has; `None`: their records were not read yet.
    pub(super) claims: Option<usize>,
    /// The first hundred of them, those first that should be over soonest.
    pub(super) claimed: Vec<ClaimView>,
}

impl View for System {
    type Moment = Option<Timestamp>;

    fn moment(&mut self) -> &mut Option<Timestamp> {
        &mut self.broker.at
    }
}
