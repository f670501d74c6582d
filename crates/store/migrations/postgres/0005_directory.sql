-- What a directory (SCIM) says of people and teams beyond our own columns. `document` is what it sent,
-- as JSON; `attributes` has the same a second time, a row for each value, to be searched in:
-- `name.givenName` is attribute `name`, part `givenname`; the second e-mail address is attribute
-- `emails`, position 1, part `value`. Names of attributes and parts are in lower case.

ALTER TABLE users ADD COLUMN external_id TEXT COLLATE "C";
ALTER TABLE users ADD COLUMN document TEXT COLLATE "C";
ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE users ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
UPDATE users SET changed_at = created_at;
CREATE INDEX users_external_id ON users (external_id) WHERE external_id IS NOT NULL;

ALTER TABLE teams ADD COLUMN external_id TEXT COLLATE "C";
ALTER TABLE teams ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE teams ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
UPDATE teams SET changed_at = created_at;
CREATE INDEX teams_external_id ON teams (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE attributes (
    user_id   BIGINT NOT NULL REFERENCES users (id),
    attribute TEXT COLLATE "C" NOT NULL,
    position  BIGINT NOT NULL,
    part      TEXT COLLATE "C" NOT NULL,
    text      TEXT COLLATE "C" NOT NULL,
    folded    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, attribute, position, part)
);
CREATE INDEX attributes_folded ON attributes (attribute, part, folded);
-- What is known already: nobody has said more than this yet.
INSERT INTO attributes (user_id, attribute, position, part, text, folded)
    SELECT id, 'emails', 0, 'value', email, email_folded FROM users
    WHERE user_type = 'Human' AND removed_at IS NULL;
INSERT INTO attributes (user_id, attribute, position, part, text, folded)
    SELECT id, 'roles', 0, 'value', role, lower(role) FROM users
    WHERE user_type = 'Human' AND removed_at IS NULL;
