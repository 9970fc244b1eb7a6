-- Version 8: what of an account's hooks a token opens; all of them where nothing is said, as before.
ALTER TABLE hook_token ADD COLUMN scope TEXT COLLATE "C";
