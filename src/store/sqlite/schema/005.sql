-- Version 5: the ledger. Who told of each call, and how far Exotel's own list was compared with it.

ALTER TABLE call ADD COLUMN first_by TEXT;
ALTER TABLE call ADD COLUMN by_callback INTEGER NOT NULL DEFAULT 1;
ALTER TABLE call ADD COLUMN by_list INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call ADD COLUMN outgoing INTEGER NOT NULL DEFAULT 0;
-- 0: none came, 1: of dialling, 2: of ringing or answering.
ALTER TABLE call ADD COLUMN popups INTEGER NOT NULL DEFAULT 0;
-- Until now there were callbacks alone.
UPDATE call SET first_by = 'callback', outgoing = json_extract(state, '$.direction') = 'outgoing', popups = coalesce((
  SELECT max(CASE json_extract(body, '$.kind')
    WHEN 'ringing' THEN 2 WHEN 'answered' THEN 2 WHEN 'dialing' THEN 1 WHEN 'attempt_ended' THEN 1 ELSE 0 END)
  FROM event WHERE event.call = call.n), 0);

-- When the call was: one that the list alone told of was seen long after.
ALTER TABLE call ADD COLUMN began_ms INTEGER GENERATED ALWAYS AS (coalesce(started_ms, first_seen_ms)) VIRTUAL;
CREATE INDEX call_by_start ON call (account, began_ms);

CREATE TABLE sweep (
  account    TEXT    PRIMARY KEY,
  -- Older calls are not asked for.
  since_ms   INTEGER NOT NULL,
  -- Up to there the list was compared.
  reached_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
