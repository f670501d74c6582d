-- Times are microseconds since the Unix epoch. Columns that end in _folded hold the text beside
-- them without case. Rows of users, tokens and changes are never deleted.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE users (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id          TEXT NOT NULL UNIQUE,
    user_name        TEXT NOT NULL,
    user_name_folded TEXT NOT NULL,
    email            TEXT NOT NULL,
    email_folded     TEXT NOT NULL,
    name             TEXT NOT NULL,
    name_folded      TEXT NOT NULL,
    role             TEXT NOT NULL CHECK (role IN ('Member', 'Manager', 'Admin')),
    user_type        TEXT NOT NULL CHECK (user_type IN ('Human', 'Service')),
    purpose          TEXT,
    owner            TEXT,
    created_at       INTEGER NOT NULL,
    created_by       INTEGER REFERENCES users (id),
    deleted_at       INTEGER,
    removed_at       INTEGER,
    last_login       INTEGER
) STRICT;
CREATE UNIQUE INDEX users_user_name ON users (user_name_folded) WHERE removed_at IS NULL;
CREATE INDEX users_email ON users (email_folded);
CREATE INDEX users_name ON users (name_folded);

CREATE TABLE teams (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    description TEXT,
    created_at  INTEGER NOT NULL
) STRICT;
INSERT INTO teams (id, name, name_folded, created_at) VALUES (1, 'Public', 'public', 0);

-- Everybody is in Public, without a row.
CREATE TABLE team_members (
    team_id INTEGER NOT NULL REFERENCES teams (id) ON DELETE CASCADE CHECK (team_id <> 1),
    user_id INTEGER NOT NULL REFERENCES users (id),
    PRIMARY KEY (team_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX team_members_user ON team_members (user_id);

CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id     INTEGER NOT NULL REFERENCES users (id),
    name         TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,
    scim_only    INTEGER NOT NULL CHECK (scim_only IN (0, 1)),
    created_at   INTEGER NOT NULL,
    created_by   INTEGER NOT NULL REFERENCES users (id),
    expires_at   INTEGER,
    revoked_at   INTEGER,
    deleted_at   INTEGER,
    parent_id    INTEGER REFERENCES tokens (id),
    rotates      INTEGER REFERENCES tokens (id),
    last_used_at INTEGER,
    last_used_ip TEXT
) STRICT;
CREATE UNIQUE INDEX tokens_owner_name ON tokens (owner_id, name) WHERE deleted_at IS NULL;
CREATE INDEX tokens_owner ON tokens (owner_id, id) WHERE deleted_at IS NULL;
CREATE INDEX tokens_parent ON tokens (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX tokens_rotates ON tokens (rotates) WHERE rotates IS NOT NULL;

CREATE TABLE invitations (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    code_hash  BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;

CREATE TABLE changes (
    seq           INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    action        TEXT NOT NULL,
    entity_kind   TEXT NOT NULL,
    entity_id     INTEGER NOT NULL,
    entity_name   TEXT NOT NULL,
    actor_id      INTEGER,
    actor_user_id TEXT,
    actor_name    TEXT,
    actor_type    TEXT,
    via_kind      TEXT NOT NULL,
    via_token     INTEGER,
    ip            TEXT,
    request_id    TEXT,
    changes       TEXT NOT NULL,
    hash          BLOB NOT NULL
) STRICT;
CREATE INDEX changes_at ON changes (at);
CREATE INDEX changes_action ON changes (action, at);
CREATE INDEX changes_actor ON changes (actor_id, at);
CREATE INDEX changes_entity ON changes (entity_kind, entity_id);

CREATE TABLE audit_head (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT;
