-- What people sort and count tokens by: the name without case, and whether the owner is a service
-- user, which never changes. Names that are here already are folded for ASCII only.

ALTER TABLE tokens ADD COLUMN name_folded TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN is_service BIGINT NOT NULL DEFAULT 0 CHECK (is_service IN (0, 1));
UPDATE tokens SET
    name_folded = lower(name),
    is_service = (SELECT CASE user_type WHEN 'Service' THEN 1 ELSE 0 END FROM users WHERE id = owner_id);
CREATE INDEX tokens_service_state ON tokens (is_service, revoked_at, expires_at) WHERE deleted_at IS NULL;
CREATE INDEX tokens_service_name ON tokens (is_service, name_folded, id) WHERE deleted_at IS NULL;
CREATE INDEX tokens_service ON tokens (is_service, id) WHERE deleted_at IS NULL;
