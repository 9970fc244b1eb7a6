-- Version 1. Never changed once released: what is to be different comes as the next script.
-- Times are milliseconds since 1970, UTC. Rows that belong to a call go with it (ON DELETE CASCADE).
-- What is compared or sorted by is in the order of its bytes (COLLATE "C"), as everywhere else in the program.

-- The journal; `seq` is given out by `journal`, below.
CREATE TABLE receipt (
  seq          BIGINT NOT NULL PRIMARY KEY,
  id           UUID   NOT NULL,
  account      TEXT   COLLATE "C" NOT NULL,
  hook         TEXT   NOT NULL,
  received_ms  BIGINT NOT NULL,
  method       TEXT   NOT NULL,
  path         TEXT   NOT NULL,
  query        TEXT   NOT NULL,
  content_type TEXT,
  body         BYTEA  NOT NULL
);

-- The last place in the journal. Whoever appends holds this row until his commit: so places are without gaps, and who
-- sees one of them sees all before it. A sequence would not do: its numbers become visible in any order, and a reader
-- that has passed one by never comes back to it.
CREATE TABLE journal (
  one  BOOLEAN NOT NULL PRIMARY KEY DEFAULT TRUE CHECK (one),
  last BIGINT  NOT NULL
);
INSERT INTO journal (last) VALUES (0);

-- How far the journal is read: everything up to `seq` is decided or set aside.
CREATE TABLE cursor (
  one BOOLEAN NOT NULL PRIMARY KEY DEFAULT TRUE CHECK (one),
  seq BIGINT  NOT NULL
);
INSERT INTO cursor (seq) VALUES (0);

-- Receipts nobody can read; the receipt itself stays in the journal until it is replayed.
CREATE TABLE set_aside (
  seq     BIGINT NOT NULL PRIMARY KEY,
  account TEXT   COLLATE "C" NOT NULL,
  error   TEXT   NOT NULL,
  at_ms   BIGINT NOT NULL
);

-- What one node at a time does: whose it is, until when, and a number that grows when it changes hands. The row stays
-- when a lease is given back, so that no number comes twice.
CREATE TABLE lease (
  duty   TEXT        COLLATE "C" NOT NULL PRIMARY KEY,
  holder UUID        NOT NULL,
  fence  BIGINT      NOT NULL,
  until  TIMESTAMPTZ NOT NULL
);

CREATE TABLE call (
  n              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account        TEXT   COLLATE "C" NOT NULL,
  call_sid       TEXT   COLLATE "C" NOT NULL,
  version        BIGINT NOT NULL,
  first_seen_ms  BIGINT NOT NULL,
  updated_ms     BIGINT NOT NULL,
  enquiry_step   BIGINT NOT NULL,
  enquiry_due_ms BIGINT,
  -- What the list of calls shows and asks by, out of `state`.
  outcome        TEXT,
  customer       TEXT,
  exophone       TEXT,
  agent          TEXT,
  started_ms     BIGINT,
  talk_seconds   BIGINT,
  -- Digits back to front: "ends with" is then a range of an index.
  customer_rev   TEXT   COLLATE "C",
  exophone_rev   TEXT   COLLATE "C",
  state          TEXT   NOT NULL,
  UNIQUE (account, call_sid)
);
-- The list of calls, newest first; a call keeps its place.
CREATE INDEX call_by_age ON call (account, first_seen_ms, n);
-- The list of calls with a number.
CREATE INDEX call_by_customer ON call (account, customer_rev);
CREATE INDEX call_by_exophone ON call (account, exophone_rev);
-- Whose details are to be asked for: due_enquiries, next_enquiry.
CREATE INDEX call_by_enquiry ON call (account, enquiry_due_ms, n) WHERE enquiry_due_ms IS NOT NULL;
-- What may be old enough to go.
CREATE INDEX call_to_purge ON call (first_seen_ms, n);

CREATE TABLE event (
  call     BIGINT NOT NULL REFERENCES call (n) ON DELETE CASCADE,
  event_id UUID   NOT NULL,
  body     TEXT   NOT NULL,
  PRIMARY KEY (call, event_id)
);

-- Which receipts said what. Id and time are copied, as the receipt may be purged before the call.
CREATE TABLE witness (
  call        BIGINT NOT NULL REFERENCES call (n) ON DELETE CASCADE,
  seq         BIGINT NOT NULL,
  event_id    UUID   NOT NULL,
  receipt     UUID   NOT NULL,
  received_ms BIGINT NOT NULL,
  PRIMARY KEY (call, seq)
);

-- Whoever changes the state of a delivery holds its call's row: what may be taken depends on the others of the call.
CREATE TABLE delivery (
  n           BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id          UUID    NOT NULL UNIQUE,
  call        BIGINT  NOT NULL REFERENCES call (n) ON DELETE CASCADE,
  account     TEXT    COLLATE "C" NOT NULL,
  integration TEXT    COLLATE "C" NOT NULL,
  call_sid    TEXT    COLLATE "C" NOT NULL,
  -- A number that grows in the order in which the kinds of one call must be delivered.
  kind        BIGINT  NOT NULL,
  revision    BIGINT  NOT NULL,
  content     TEXT    NOT NULL,
  state       TEXT    COLLATE "C" NOT NULL,
  reason      TEXT,
  -- Only of pending ones: another delivery of this call and integration must be settled first. Kept with every change
  -- of state, so that a lane's question for work never walks over those it may not take.
  blocked     BOOLEAN NOT NULL,
  -- Of a call of the past: taken only where nothing newer waits.
  low         BOOLEAN NOT NULL,
  due_ms      BIGINT  NOT NULL,
  attempts    BIGINT  NOT NULL,
  probe       BOOLEAN NOT NULL,
  created_ms  BIGINT  NOT NULL,
  updated_ms  BIGINT  NOT NULL
);
-- One of a kind; and the deliveries of a call.
CREATE UNIQUE INDEX delivery_of_call ON delivery (call, integration, kind);
-- What a lane may take, oldest first, and nothing else: claim, next_due.
CREATE INDEX delivery_ready ON delivery (account, integration, kind, due_ms, n)
  WHERE state = 'pending' AND NOT blocked AND NOT low;
CREATE INDEX delivery_backfill ON delivery (account, integration, due_ms, n)
  WHERE state = 'pending' AND NOT blocked AND low;
-- The list of deliveries, newest first, merged out of its states; recover.
CREATE INDEX delivery_by_state ON delivery (state, account, n);

-- How many deliveries are in which state: the sum of these. Counting them would walk over all ever made, and one row for
-- each sum would be held by every transaction that moves a delivery; so each adds its own rows, and depths() makes one
-- out of many.
CREATE TABLE delivery_change (
  account     TEXT   COLLATE "C" NOT NULL,
  integration TEXT   COLLATE "C" NOT NULL,
  state       TEXT   COLLATE "C" NOT NULL,
  deliveries  BIGINT NOT NULL
);

CREATE FUNCTION delivery_changed() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO delivery_change VALUES (OLD.account, OLD.integration, OLD.state, -1);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO delivery_change VALUES (NEW.account, NEW.integration, NEW.state, 1);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER delivery_came_or_went AFTER INSERT OR DELETE ON delivery
  FOR EACH ROW EXECUTE FUNCTION delivery_changed();
CREATE TRIGGER delivery_moved AFTER UPDATE OF state ON delivery
  FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION delivery_changed();

CREATE TABLE attempt (
  delivery BIGINT NOT NULL REFERENCES delivery (n) ON DELETE CASCADE,
  number   BIGINT NOT NULL,
  body     TEXT   NOT NULL,
  PRIMARY KEY (delivery, number)
);

-- The CRM record that stands for a call or its note: what makes "one call, one record" true.
CREATE TABLE link (
  call        BIGINT NOT NULL REFERENCES call (n) ON DELETE CASCADE,
  integration TEXT   COLLATE "C" NOT NULL,
  kind        BIGINT NOT NULL,
  body        TEXT   NOT NULL,
  PRIMARY KEY (call, integration, kind)
);

CREATE TABLE contact (
  account     TEXT COLLATE "C" NOT NULL,
  integration TEXT COLLATE "C" NOT NULL,
  external_id TEXT COLLATE "C" NOT NULL,
  body        TEXT NOT NULL,
  PRIMARY KEY (account, integration, external_id)
);

CREATE TABLE hook_token (
  id         UUID   NOT NULL PRIMARY KEY,
  account    TEXT   COLLATE "C" NOT NULL,
  label      TEXT   NOT NULL,
  hash       BYTEA  NOT NULL,
  created_ms BIGINT NOT NULL,
  expires_ms BIGINT
);

-- Tokens of an integration, sealed with the master key.
CREATE TABLE credential (
  account     TEXT   COLLATE "C" NOT NULL,
  integration TEXT   COLLATE "C" NOT NULL,
  version     BIGINT NOT NULL,
  sealed      BYTEA  NOT NULL,
  PRIMARY KEY (account, integration)
);

-- Consents that were asked for and not given yet: by the hash of the `state` that comes back with the code.
CREATE TABLE consent (
  hash        BYTEA  NOT NULL PRIMARY KEY,
  account     TEXT   COLLATE "C" NOT NULL,
  integration TEXT   COLLATE "C" NOT NULL,
  sealed      BYTEA  NOT NULL,
  expires_ms  BIGINT NOT NULL
);

-- Written to find out whether writing works.
CREATE TABLE ping (
  one   BOOLEAN NOT NULL PRIMARY KEY DEFAULT TRUE CHECK (one),
  times BIGINT  NOT NULL
);
INSERT INTO ping (times) VALUES (0);
