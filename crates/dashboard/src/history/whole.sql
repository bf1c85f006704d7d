-- The number of the last event when all of the stream was known first: what the file learns after it is news. NULL: it is
-- still being made.
ALTER TABLE file ADD COLUMN whole INTEGER;
UPDATE file SET whole = (SELECT max(number) FROM events) WHERE EXISTS (SELECT 1 FROM position);
