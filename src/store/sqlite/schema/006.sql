-- Version 6: click-to-call: who wants to be connected with whom, and how far that has come.
CREATE TABLE click (
  id           BLOB    PRIMARY KEY,
  account      TEXT    NOT NULL,
  version      INTEGER NOT NULL,
  -- Hash of the idempotency key; none: it was given up to a later click.
  key          BLOB,
  fingerprint  BLOB    NOT NULL,
  agent        TEXT    NOT NULL,
  dialled      TEXT    NOT NULL,
  caller_id    TEXT    NOT NULL,
  custom_field TEXT,
  record       INTEGER NOT NULL,
  state        TEXT    NOT NULL,
  call_sid     TEXT,
  code         TEXT,
  told         TEXT,
  asked_ms     INTEGER NOT NULL,
  dialled_ms   INTEGER,
  updated_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX click_key ON click (account, key) WHERE key IS NOT NULL;
CREATE INDEX click_unsettled ON click (account, asked_ms) WHERE state IN ('intended', 'dialling', 'unknown');
CREATE INDEX click_asked ON click (account, asked_ms);
