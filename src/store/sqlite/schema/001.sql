-- Version 1. Never changed once released: what is to be different comes as the next script.
-- Times are milliseconds since 1970, UTC. Rows that belong to a call go with it (ON DELETE CASCADE).

-- The journal. Written a thousand times more often than anything else here, hence no index beside its key; the key is
-- given out by the writer, always above everything it ever gave out, so that order of keys is order of arrival.
CREATE TABLE receipt (
  seq          INTEGER PRIMARY KEY,
  id           BLOB    NOT NULL,
  account      TEXT    NOT NULL,
  hook         TEXT    NOT NULL,
  received_ms  INTEGER NOT NULL,
  method       TEXT    NOT NULL,
  path         TEXT    NOT NULL,
  query        TEXT    NOT NULL,
  content_type TEXT,
  body         BLOB    NOT NULL
) STRICT;

-- How far the journal is read: everything up to `seq` is decided or set aside.
CREATE TABLE cursor (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL
) STRICT;
INSERT INTO cursor (one, seq) VALUES (1, 0);

-- Receipts nobody can read; the receipt itself stays in the journal until it is replayed.
CREATE TABLE set_aside (
  seq     INTEGER PRIMARY KEY,
  account TEXT    NOT NULL,
  error   TEXT    NOT NULL,
  at_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE call (
  n              INTEGER PRIMARY KEY,
  account        TEXT    NOT NULL,
  call_sid       TEXT    NOT NULL,
  version        INTEGER NOT NULL,
  first_seen_ms  INTEGER NOT NULL,
  updated_ms     INTEGER NOT NULL,
  enquiry_step   INTEGER NOT NULL,
  enquiry_due_ms INTEGER,
  -- What the list of calls shows and asks by, out of `state`.
  outcome        TEXT,
  customer       TEXT,
  exophone       TEXT,
  agent          TEXT,
  started_ms     INTEGER,
  talk_seconds   INTEGER,
  -- Digits back to front: "ends with" is then a range of an index.
  customer_rev   TEXT,
  exophone_rev   TEXT,
  state          TEXT    NOT NULL,
  UNIQUE (account, call_sid)
) STRICT;
-- The list of calls, newest first; a call keeps its place.
CREATE INDEX call_by_age ON call (account, first_seen_ms);
-- The list of calls with a number.
CREATE INDEX call_by_customer ON call (account, customer_rev, first_seen_ms);
CREATE INDEX call_by_exophone ON call (account, exophone_rev, first_seen_ms);
-- Whose details are to be asked for: due_enquiries, next_enquiry.
CREATE INDEX call_by_enquiry ON call (account, enquiry_due_ms) WHERE enquiry_due_ms IS NOT NULL;

CREATE TABLE event (
  call     INTEGER NOT NULL REFERENCES call (n) ON DELETE CASCADE,
  event_id BLOB    NOT NULL,
  body     TEXT    NOT NULL,
  PRIMARY KEY (call, event_id)
) STRICT, WITHOUT ROWID;

-- Which receipts said what. Id and time are copied, as the receipt may be purged before the call.
CREATE TABLE witness (
  call        INTEGER NOT NULL REFERENCES call (n) ON DELETE CASCADE,
  seq         INTEGER NOT NULL,
  event_id    BLOB    NOT NULL,
  receipt     BLOB    NOT NULL,
  received_ms INTEGER NOT NULL,
  PRIMARY KEY (call, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
  n           INTEGER PRIMARY KEY,
  id          BLOB    NOT NULL UNIQUE,
  call        INTEGER NOT NULL REFERENCES call (n) ON DELETE CASCADE,
  account     TEXT    NOT NULL,
  integration TEXT    NOT NULL,
  call_sid    TEXT    NOT NULL,
  -- A number that grows in the order in which the kinds of one call must be delivered.
  kind        INTEGER NOT NULL,
  revision    INTEGER NOT NULL,
  content     TEXT    NOT NULL,
  state       TEXT    NOT NULL,
  reason      TEXT,
  -- Only of pending ones: another delivery of this call and integration must be settled first. Kept with every change
  -- of state, so that a lane's question for work never walks over those it may not take.
  blocked     INTEGER NOT NULL,
  due_ms      INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  probe       INTEGER NOT NULL,
  created_ms  INTEGER NOT NULL,
  updated_ms  INTEGER NOT NULL
) STRICT;
-- One of a kind; and the deliveries of a call.
CREATE UNIQUE INDEX delivery_of_call ON delivery (call, integration, kind);
-- What a lane may take, oldest first, and nothing else: claim, next_due.
CREATE INDEX delivery_ready ON delivery (account, integration, kind, due_ms) WHERE state = 'pending' AND blocked = 0;
-- The list of deliveries, newest first, merged out of its states; recover.
CREATE INDEX delivery_by_state ON delivery (state, account);

-- How many deliveries are in which state, kept by the triggers below: counting them would walk over all ever made, and
-- is asked for with every scrape of the metrics.
CREATE TABLE delivery_depth (
  account     TEXT    NOT NULL,
  integration TEXT    NOT NULL,
  state       TEXT    NOT NULL,
  deliveries  INTEGER NOT NULL,
  PRIMARY KEY (account, integration, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER delivery_made AFTER INSERT ON delivery BEGIN
  INSERT INTO delivery_depth (account, integration, state, deliveries)
    VALUES (new.account, new.integration, new.state, 1)
    ON CONFLICT DO UPDATE SET deliveries = deliveries + 1;
END;

CREATE TRIGGER delivery_moved AFTER UPDATE OF state ON delivery WHEN old.state <> new.state BEGIN
  UPDATE delivery_depth SET deliveries = deliveries - 1
    WHERE account = old.account AND integration = old.integration AND state = old.state;
  INSERT INTO delivery_depth (account, integration, state, deliveries)
    VALUES (new.account, new.integration, new.state, 1)
    ON CONFLICT DO UPDATE SET deliveries = deliveries + 1;
END;

CREATE TRIGGER delivery_gone AFTER DELETE ON delivery BEGIN
  UPDATE delivery_depth SET deliveries = deliveries - 1
    WHERE account = old.account AND integration = old.integration AND state = old.state;
END;

CREATE TABLE attempt (
  delivery INTEGER NOT NULL REFERENCES delivery (n) ON DELETE CASCADE,
  number   INTEGER NOT NULL,
  body     TEXT    NOT NULL,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- The CRM record that stands for a call or its note: what makes "one call, one record" true.
CREATE TABLE link (
  call        INTEGER NOT NULL REFERENCES call (n) ON DELETE CASCADE,
  integration TEXT    NOT NULL,
  kind        INTEGER NOT NULL,
  body        TEXT    NOT NULL,
  PRIMARY KEY (call, integration, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE contact (
  account     TEXT    NOT NULL,
  integration TEXT    NOT NULL,
  external_id TEXT    NOT NULL,
  body        TEXT    NOT NULL,
  PRIMARY KEY (account, integration, external_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE hook_token (
  id         BLOB    PRIMARY KEY,
  account    TEXT    NOT NULL,
  label      TEXT    NOT NULL,
  hash       BLOB    NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Written to find out whether writing works.
CREATE TABLE ping (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  times INTEGER NOT NULL
) STRICT;
INSERT INTO ping (one, times) VALUES (1, 0);
