-- Version 7: calls that are placed for a voicebot: which, what it is told, and when they end, as JSON.
ALTER TABLE click ADD COLUMN bot TEXT COLLATE "C";
