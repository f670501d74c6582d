-- What keeps tokens healthy: who rotates them, which close by themselves, which leaked.
ALTER TABLE tokens ADD COLUMN leaked_at BIGINT;
-- When it was told that it will be revoked because nobody uses it.
ALTER TABLE tokens ADD COLUMN idle_announced_at BIGINT;
-- Revoked by itself once unused for so many hours; whoever waits is warned from the deadline on.
ALTER TABLE tokens ADD COLUMN closes_after_hours BIGINT;
ALTER TABLE tokens ADD COLUMN close_deadline BIGINT;
ALTER TABLE tokens ADD COLUMN closing_since BIGINT;
ALTER TABLE tokens ADD COLUMN rotation_responsible TEXT;
ALTER TABLE tokens ADD COLUMN rotation_days_before BIGINT;
ALTER TABLE users ADD COLUMN rotation_responsible TEXT;
ALTER TABLE users ADD COLUMN rotation_days_before BIGINT;
CREATE INDEX tokens_closing ON tokens (closes_after_hours, close_deadline)
    WHERE closes_after_hours IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL;
-- Reviews count by these and read no token: since when nobody uses it, and that it never ends. All columns of a question
-- have to be there, also those that are the same in every entry.
CREATE INDEX tokens_idle ON tokens (is_service, (coalesce(last_used_at, created_at)), id, last_used_at, created_at,
    expires_at, owner_id, deleted_at, revoked_at) WHERE revoked_at IS NULL AND deleted_at IS NULL;
CREATE INDEX tokens_endless ON tokens (is_service, deleted_at, revoked_at, expires_at, id, owner_id)
    WHERE expires_at IS NULL AND revoked_at IS NULL AND deleted_at IS NULL;
