-- Version 4: what people keep here, and who changed it.

-- Agents, users, sessions, tokens, imports. account '' is the service itself.
CREATE TABLE document (
  account    TEXT    NOT NULL,
  kind       TEXT    NOT NULL,
  id         TEXT    NOT NULL,
  version    INTEGER NOT NULL,
  -- What no other of its account and kind may have.
  name       TEXT,
  body       TEXT    NOT NULL,
  sealed     BLOB,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  PRIMARY KEY (account, kind, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX document_name ON document (account, kind, name) WHERE name IS NOT NULL;
CREATE INDEX document_expiry ON document (expires_ms) WHERE expires_ms IS NOT NULL;

CREATE TABLE audit (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms   INTEGER NOT NULL,
  by_whom TEXT    NOT NULL,
  account TEXT    NOT NULL,
  kind    TEXT    NOT NULL,
  id      TEXT    NOT NULL,
  action  TEXT    NOT NULL,
  changed TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_account ON audit (account, seq);
