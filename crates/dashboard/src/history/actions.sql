-- What people did to racks. Such an event is in `events`, too: of no cycle (a blob without bytes), with its id as `word`.
CREATE TABLE actions (
    id     TEXT PRIMARY KEY,          -- of the event
    rack   TEXT NOT NULL,
    what   TEXT NOT NULL,             -- paused, resumed, ...
    at     INTEGER NOT NULL,
    by     TEXT NOT NULL,
    why    TEXT NOT NULL,
    letter INTEGER,                   -- the number of the dead letter it is about
    body   BLOB NOT NULL              -- the event as it is told
) WITHOUT ROWID;
CREATE INDEX actions_of_rack ON actions (rack, at);
