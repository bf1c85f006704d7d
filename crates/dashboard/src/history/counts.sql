-- Counted anew from `jobs` and `events` when a file is brought up to this.

DROP TABLE outcomes;

-- How many jobs of a cycle ended how on which day.
CREATE TABLE outcomes (
    cycle   BLOB NOT NULL,
    day     INTEGER NOT NULL,         -- from 1970-01-01, in UTC
    distro  TEXT NOT NULL,            -- what the jobs deployed; '': they do not say
    outcome TEXT NOT NULL,
    rack    TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (cycle, day, distro, outcome)
) WITHOUT ROWID;
CREATE INDEX outcomes_of_day ON outcomes (day, rack, distro, outcome, count);

-- How long the phases of jobs took that ended on this day.
CREATE TABLE lengths (
    day    INTEGER NOT NULL,
    rack   TEXT NOT NULL,
    distro TEXT NOT NULL,
    phase  TEXT NOT NULL,
    counts BLOB NOT NULL,             -- how many of each class of length, from the shortest, 4 bytes each, the lowest first
    PRIMARY KEY (day, rack, distro, phase)
) WITHOUT ROWID;
