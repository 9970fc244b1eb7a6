-- Version 3: the ledger. Who told of each call, and how far Exotel's own list was compared with it.

ALTER TABLE call
  ADD COLUMN first_by    TEXT,
  ADD COLUMN by_callback BOOLEAN NOT NULL DEFAULT TRUE,
  ADD COLUMN by_list     BOOLEAN NOT NULL DEFAULT FALSE,
  ADD COLUMN outgoing    BOOLEAN NOT NULL DEFAULT FALSE,
  -- 0: none came, 1: of dialling, 2: of ringing or answering.
  ADD COLUMN popups      BIGINT  NOT NULL DEFAULT 0,
  -- When the call was: one that the list alone told of was seen long after.
  ADD COLUMN began_ms    BIGINT  GENERATED ALWAYS AS (coalesce(started_ms, first_seen_ms)) STORED;
-- Until now there were callbacks alone. The documents are looked at as texts: one may hold what no JSON of the server's may.
UPDATE call SET first_by = 'callback', outgoing = state LIKE '%"direction":"outgoing"%', popups = coalesce((
  SELECT max(CASE WHEN body LIKE '%"kind":"ringing"%' OR body LIKE '%"kind":"answered"%' THEN 2
    WHEN body LIKE '%"kind":"dialing"%' OR body LIKE '%"kind":"attempt_ended"%' THEN 1 ELSE 0 END)
  FROM event WHERE event.call = call.n), 0);
CREATE INDEX call_by_start ON call (account, began_ms, n);

CREATE TABLE sweep (
  account    TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
  -- Older calls are not asked for.
  since_ms   BIGINT NOT NULL,
  -- Up to there the list was compared.
  reached_ms BIGINT NOT NULL
);
