-- One index answers all questions after tokens that nobody uses, so that a use is written into one less. Reviews count
-- by it and read no token: all columns of a question have to be there, also those that are the same in every entry.
-- What takes long comes first: servers of the version before read meanwhile, until an index goes.
CREATE INDEX tokens_idle_since ON tokens ((coalesce(last_used_at, created_at)), id, is_service, last_used_at, created_at,
    expires_at, owner_id, deleted_at, revoked_at) WHERE revoked_at IS NULL AND deleted_at IS NULL;
DROP INDEX tokens_idle;
DROP INDEX tokens_unused;
