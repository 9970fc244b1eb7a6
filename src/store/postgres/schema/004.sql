-- Version 4: click-to-call: who wants to be connected with whom, and how far that has come.
CREATE TABLE click (
  id           UUID    NOT NULL PRIMARY KEY,
  account      TEXT    COLLATE "C" NOT NULL,
  version      BIGINT  NOT NULL,
  -- Hash of the idempotency key; none: it was given up to a later click.
  key          BYTEA,
  fingerprint  BYTEA   NOT NULL,
  agent        TEXT    COLLATE "C" NOT NULL,
  dialled      TEXT    COLLATE "C" NOT NULL,
  caller_id    TEXT    NOT NULL,
  custom_field TEXT,
  record       BOOLEAN NOT NULL,
  state        TEXT    COLLATE "C" NOT NULL,
  call_sid     TEXT,
  code         TEXT,
  told         TEXT,
  asked_ms     BIGINT  NOT NULL,
  dialled_ms   BIGINT,
  updated_ms   BIGINT  NOT NULL
);
CREATE UNIQUE INDEX click_key ON click (account, key) WHERE key IS NOT NULL;
CREATE INDEX click_unsettled ON click (account, asked_ms) WHERE state IN ('intended', 'dialling', 'unknown');
CREATE INDEX click_asked ON click (account, asked_ms);
