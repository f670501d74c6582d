-- What people sort, filter and count by. A token has its name without case, and whether its owner is a service
-- user, which never changes. Names that are here already are folded for ASCII only.

ALTER TABLE tokens ADD COLUMN name_folded TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN is_service BIGINT NOT NULL DEFAULT 0 CHECK (is_service IN (0, 1));
UPDATE tokens SET
    name_folded = lower(name),
    is_service = (SELECT CASE user_type WHEN 'Service' THEN 1 ELSE 0 END FROM users WHERE id = owner_id);
-- Only service tokens are listed across owners. Each order has an index, which begins with what every
-- list asks for. Counting by state reads nothing but the last one or, where a name is looked for, the one
-- before it.
CREATE INDEX tokens_service ON tokens (is_service, deleted_at, id) WHERE is_service = 1;
CREATE INDEX tokens_service_expiry
    ON tokens (is_service, deleted_at, (coalesce(expires_at, 9223372036854775807)), id) WHERE is_service = 1;
CREATE INDEX tokens_service_use
    ON tokens (is_service, deleted_at, (coalesce(last_used_at, -1)), id) WHERE is_service = 1;
CREATE INDEX tokens_service_name
    ON tokens (is_service, deleted_at, name_folded, id, owner_id, revoked_at, expires_at) WHERE is_service = 1;
CREATE INDEX tokens_service_state ON tokens (is_service, deleted_at, revoked_at, expires_at) WHERE is_service = 1;
-- Counting users reads nothing but this.
CREATE INDEX users_state ON users (removed_at, deleted_at, user_type, role);

-- Where a text begins in another one, by the name that SQLite has for it; 0 if it isn't in it.
CREATE FUNCTION instr(whole TEXT, part TEXT) RETURNS INTEGER LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT strpos(whole, part)';
