-- What jobs asked to be deployed, and what is kept of those that did not pass.

ALTER TABLE jobs ADD COLUMN distro TEXT;     -- of `submitted`, MAAS's word; none: the job's document does not say
ALTER TABLE jobs ADD COLUMN kernel TEXT;     -- the same
ALTER TABLE jobs ADD COLUMN evidence TEXT;   -- of `finished`, JSON: what became of it
