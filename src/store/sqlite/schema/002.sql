-- Version 2: integrations that are added later, and CRMs whose access tokens are got by consent.

-- Calls of the past, for an integration that came later: taken only where nothing newer waits.
ALTER TABLE delivery ADD COLUMN low INTEGER NOT NULL DEFAULT 0;
DROP INDEX delivery_ready;
CREATE INDEX delivery_ready ON delivery (account, integration, kind, due_ms)
  WHERE state = 'pending' AND blocked = 0 AND low = 0;
CREATE INDEX delivery_backfill ON delivery (account, integration, due_ms)
  WHERE state = 'pending' AND blocked = 0 AND low = 1;

-- Tokens of an integration, sealed with the master key.
CREATE TABLE credential (
  account     TEXT    NOT NULL,
  integration TEXT    NOT NULL,
  version     INTEGER NOT NULL,
  sealed      BLOB    NOT NULL,
  PRIMARY KEY (account, integration)
) STRICT, WITHOUT ROWID;

-- Whose turn it is to renew them: one node at a time, and never for ever.
CREATE TABLE lease (
  account     TEXT    NOT NULL,
  integration TEXT    NOT NULL,
  holder      BLOB    NOT NULL,
  until_ms    INTEGER NOT NULL,
  PRIMARY KEY (account, integration)
) STRICT, WITHOUT ROWID;

-- Consents that were asked for and not given yet: by the hash of the `state` that comes back with the code.
CREATE TABLE consent (
  hash        BLOB    PRIMARY KEY,
  account     TEXT    NOT NULL,
  integration TEXT    NOT NULL,
  sealed      BLOB    NOT NULL,
  expires_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
