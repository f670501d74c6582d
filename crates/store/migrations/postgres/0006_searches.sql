-- Service users by name, to choose one from.
CREATE INDEX users_service_name ON users (user_type, removed_at, deleted_at, name_folded, id)
    WHERE user_type = 'Service';
-- Looking for a part of a name goes through service tokens from the newest on and reads nothing but this;
-- by name they are only sorted.
DROP INDEX tokens_service;
DROP INDEX tokens_service_name;
CREATE INDEX tokens_service ON tokens (is_service, deleted_at, id, name_folded, owner_id, revoked_at, expires_at)
    WHERE is_service = 1;
CREATE INDEX tokens_service_name ON tokens (is_service, deleted_at, name_folded, id) WHERE is_service = 1;
