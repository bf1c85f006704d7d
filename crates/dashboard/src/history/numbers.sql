-- Every event has a number that no other ever had in this file, so that whoever follows them can go on after one. The
-- file has a name, so that numbers of another one are not taken for its own.
CREATE TABLE file (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id  INTEGER NOT NULL
);
INSERT INTO file (one, id) VALUES (1, random());

CREATE TABLE numbered (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    cycle   BLOB NOT NULL,
    machine TEXT NOT NULL,
    kind    TEXT NOT NULL,
    word    TEXT NOT NULL,
    rack    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    UNIQUE (cycle, machine, kind, word)
);
INSERT INTO numbered (number, cycle, machine, kind, word, rack, at)
SELECT rowid, cycle, machine, kind, word, rack, at FROM events ORDER BY rowid;
DROP TABLE events;
ALTER TABLE numbered RENAME TO events;
CREATE INDEX events_at ON events (at);
CREATE INDEX events_of_rack ON events (rack, at);
CREATE INDEX events_of_kind ON events (kind, at)
    WHERE kind NOT IN ('job.submitted', 'job.progressed', 'job.finished', 'machine.skipped');
