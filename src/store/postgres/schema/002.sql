-- Version 2: what people keep here, and who changed it.

-- Agents, users, sessions, tokens, imports. account '' is the service itself.
CREATE TABLE document (
  account    TEXT COLLATE "C" NOT NULL,
  kind       TEXT COLLATE "C" NOT NULL,
  id         TEXT COLLATE "C" NOT NULL,
  version    BIGINT NOT NULL,
  -- What no other of its account and kind may have.
  name       TEXT COLLATE "C",
  body       TEXT    NOT NULL,
  sealed     BYTEA,
  created_ms BIGINT NOT NULL,
  updated_ms BIGINT NOT NULL,
  expires_ms BIGINT,
  PRIMARY KEY (account, kind, id)
);
CREATE UNIQUE INDEX document_name ON document (account, kind, name) WHERE name IS NOT NULL;
CREATE INDEX document_expiry ON document (expires_ms) WHERE expires_ms IS NOT NULL;

CREATE TABLE audit (
  seq     BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at_ms   BIGINT NOT NULL,
  by_whom TEXT    NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  kind    TEXT COLLATE "C" NOT NULL,
  id      TEXT COLLATE "C" NOT NULL,
  action  TEXT    NOT NULL,
  changed TEXT    NOT NULL
);
CREATE INDEX audit_account ON audit (account, seq);
