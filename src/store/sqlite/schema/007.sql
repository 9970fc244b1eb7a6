-- Version 8: test calls of a DID: clicks that put a customer into a flow.

ALTER TABLE click ADD COLUMN flow_url TEXT;
