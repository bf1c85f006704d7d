-- What the event stream told, one row per thing. Times are nanoseconds since 1970, ids are the 16 bytes of a UUID, and
-- '' stands for no machine. Every column is written by one kind of event, so that the order of events does not matter.

-- How far the stream was followed. Always written together with the rows.
CREATE TABLE position (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    stream_created INTEGER NOT NULL,
    sequence       INTEGER NOT NULL,
    stored_at      INTEGER,           -- when the broker stored the message with this sequence
    newest         INTEGER,           -- the newest time of any event
    ignored        INTEGER NOT NULL,  -- messages that are no event of racktick's, or of a later version
    at             INTEGER NOT NULL   -- when this was written
);

-- Every event once. `word` tells events of one kind and machine apart: the state of `job.progressed`, the attempt of
-- `cycle.retrying`.
CREATE TABLE events (
    cycle   BLOB NOT NULL,
    machine TEXT NOT NULL,
    kind    TEXT NOT NULL,
    word    TEXT NOT NULL,
    rack    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    UNIQUE (cycle, machine, kind, word)
);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_of_rack ON events (rack, at);
-- One of these among a million others is found at once.
CREATE INDEX events_of_kind ON events (kind, at)
    WHERE kind NOT IN ('job.submitted', 'job.progressed', 'job.finished', 'machine.skipped');

CREATE TABLE cycles (
    cycle         BLOB PRIMARY KEY,
    rack          TEXT NOT NULL,
    at            INTEGER NOT NULL,   -- the earliest event
    origin        TEXT,               -- JSON, of `started` or `missed`
    started_at    INTEGER,
    planned_at    INTEGER,
    deploy        INTEGER,
    skip          TEXT,               -- JSON: count by reason
    deploy_by     INTEGER,
    spread        INTEGER,            -- nanoseconds
    failed_at     INTEGER,
    attempts      INTEGER,
    cause         TEXT,
    message       TEXT,
    finished_at   INTEGER,
    counts        TEXT,               -- JSON: outcomes and reasons
    duration      INTEGER,            -- nanoseconds
    missed_at     INTEGER,
    missed        TEXT
) WITHOUT ROWID;
CREATE INDEX cycles_of_rack ON cycles (rack, at);
CREATE INDEX cycles_at ON cycles (at);
CREATE INDEX cycles_running ON cycles (rack) WHERE finished_at IS NULL AND failed_at IS NULL AND missed_at IS NULL;

-- Attempts to plan a cycle that came to nothing.
CREATE TABLE retries (
    cycle   BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    cause   TEXT NOT NULL,
    message TEXT NOT NULL,
    next_at INTEGER NOT NULL,
    PRIMARY KEY (cycle, attempt)
) WITHOUT ROWID;

-- What a cycle decided about a machine: deployed when there is no reason.
CREATE TABLE decisions (
    cycle   BLOB NOT NULL,
    machine TEXT NOT NULL,
    rack    TEXT NOT NULL,
    at      INTEGER NOT NULL,         -- the earliest event about the machine
    reason  TEXT,
    detail  TEXT,
    PRIMARY KEY (cycle, machine)
) WITHOUT ROWID;
CREATE INDEX decisions_of_machine ON decisions (machine, at);
CREATE INDEX decisions_skipped ON decisions (cycle, reason) WHERE reason IS NOT NULL;

CREATE TABLE jobs (
    cycle        BLOB NOT NULL,
    machine      TEXT NOT NULL,
    job          BLOB NOT NULL,
    rack         TEXT NOT NULL,
    state        TEXT,                -- of the latest look
    state_at     INTEGER,
    submitted_at INTEGER,
    deadline     INTEGER,
    overdue_at   INTEGER,
    doubled_at   INTEGER,
    entries      INTEGER,
    outcome      TEXT,                -- passed, failed, cancelled, lost, rejected; none: not over
    outcome_at   INTEGER,
    cause        TEXT,
    phase        TEXT,
    exit_code    INTEGER,
    http_status  INTEGER,             -- of a refusal
    message      TEXT,                -- of a refusal
    claimed_at   INTEGER,             -- when its claim says that it was submitted
    statuses     TEXT,                -- JSON: status by phase
    cancel       TEXT,                -- JSON
    device       TEXT,                -- JSON
    -- What was known of the machine after this outcome.
    deploys      INTEGER,             -- whether the latest proof says that it deploys
    proved_at    INTEGER,             -- when that was
    streak       INTEGER,             -- how many in a row say the same
    since        INTEGER,             -- the first of them
    passed_at    INTEGER,             -- when it deployed last
    PRIMARY KEY (cycle, machine)
) WITHOUT ROWID;
CREATE INDEX jobs_of_id ON jobs (job);
CREATE INDEX jobs_over ON jobs (machine, outcome_at, cycle, outcome) WHERE outcome_at IS NOT NULL;
CREATE INDEX jobs_open ON jobs (machine) WHERE outcome_at IS NULL;
-- Where a machine's outcome changed between passed and failed. It holds all that is asked of it.
CREATE INDEX jobs_changed ON jobs (outcome_at, machine, outcome, streak)
    WHERE streak = 1 AND outcome IN ('passed', 'failed');

-- How many jobs of a cycle ended how on which day. Counted from `jobs`.
CREATE TABLE outcomes (
    cycle   BLOB NOT NULL,
    day     INTEGER NOT NULL,         -- from 1970-01-01, in UTC
    outcome TEXT NOT NULL,
    rack    TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (cycle, day, outcome)
) WITHOUT ROWID;
CREATE INDEX outcomes_of_day ON outcomes (day, rack, outcome, count);

-- Every machine that any cycle looked at, with its latest outcome and the standing after that, as `jobs` has them.
CREATE TABLE machines (
    machine     TEXT PRIMARY KEY,
    cycle       BLOB,
    outcome     TEXT,
    outcome_at  INTEGER,
    cause       TEXT,
    phase       TEXT,
    exit_code   INTEGER,
    http_status INTEGER,
    message     TEXT,
    deploys     INTEGER,
    proved_at   INTEGER,
    streak      INTEGER,
    since       INTEGER,
    passed_at   INTEGER
) WITHOUT ROWID;

-- Which rack has which machine: the latest decision in that rack, as `decisions` has it.
CREATE TABLE members (
    rack    TEXT NOT NULL,
    machine TEXT NOT NULL,
    cycle   BLOB NOT NULL,
    at      INTEGER NOT NULL,
    reason  TEXT,
    detail  TEXT,
    PRIMARY KEY (rack, machine)
) WITHOUT ROWID;
CREATE INDEX members_of_machine ON members (machine);
