PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'first','2026-11-22 02:55:48',1,X'1b388aa0c77d76abeba0026c04ca1b25a474d677d7a478d814c08e7622e823ee0953cbaffdfed324488200284ecab369',14972179);
CREATE TABLE settings (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;
INSERT INTO settings VALUES('master_key_check',X'd6ab8e9d490dddcc74276b94f488849b69c6c8d048a4bae7689b03392ea97355');
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
INSERT INTO users VALUES(1,'local|ada','local|ada','local|ada','local|ada','local|ada','ada','ada','Member','Human',NULL,NULL,1768478400000000,NULL,NULL,NULL,NULL);
CREATE TABLE teams (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    description TEXT,
    created_at  INTEGER NOT NULL
) STRICT;
INSERT INTO teams VALUES(1,'Public','public',NULL,1768478400000000);
INSERT INTO teams VALUES(2,'Data','data',NULL,1768478400000000);
CREATE TABLE team_members (
    team_id INTEGER NOT NULL REFERENCES teams (id) ON DELETE CASCADE CHECK (team_id <> 1),
    user_id INTEGER NOT NULL REFERENCES users (id),
    PRIMARY KEY (team_id, user_id)
) STRICT, WITHOUT ROWID;
INSERT INTO team_members VALUES(2,1);
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
INSERT INTO tokens VALUES(1,1,'1',X'0101010101010101010101010101010101010101010101010101010101010101',0,1768478400000000,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO changes VALUES(1,1768478400000000,'user.updated','user',1,'airflow-prod',1,'local|ada','Ada','Human','token',3,'10.0.0.7','r-1','{"name":[null,"airflow-prod"]}',X'e2c50c5176eb19f40c99141c5f920d3d2f6f1acc9936f30157f398ad5a8f9d68');
INSERT INTO changes VALUES(2,1768478400000000,'user.updated','user',1,'airflow-prod',1,'local|ada','Ada','Human','token',3,'10.0.0.7','r-1','{"name":[null,"airflow-prod"]}',X'd8651c4e08c21b383b01950e6fa6646f7cf3b8f0a9e8a3a226f2a7600abea82d');
INSERT INTO changes VALUES(3,1768478400000000,'user.updated','user',1,'airflow-prod',1,'local|ada','Ada','Human','token',3,'10.0.0.7','r-1','{"name":[null,"airflow-prod"]}',X'95991b06f2ccfcc23385837add299b096551d2d7a3f00b7dd40c5560fbbafbab');
CREATE TABLE audit_head (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT;
INSERT INTO audit_head VALUES(1,3,X'95991b06f2ccfcc23385837add299b096551d2d7a3f00b7dd40c5560fbbafbab',X'335cd7b2cc145ef52442a54d996c49428b8c53f5a3fe4d4f59ef4c767caa942c');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('teams',2);
INSERT INTO sqlite_sequence VALUES('users',1);
INSERT INTO sqlite_sequence VALUES('tokens',1);
CREATE UNIQUE INDEX users_user_name ON users (user_name_folded) WHERE removed_at IS NULL;
CREATE INDEX users_email ON users (email_folded);
CREATE INDEX users_name ON users (name_folded);
CREATE INDEX team_members_user ON team_members (user_id);
CREATE UNIQUE INDEX tokens_owner_name ON tokens (owner_id, name) WHERE deleted_at IS NULL;
CREATE INDEX tokens_owner ON tokens (owner_id, id) WHERE deleted_at IS NULL;
CREATE INDEX tokens_parent ON tokens (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX tokens_rotates ON tokens (rotates) WHERE rotates IS NOT NULL;
CREATE INDEX changes_at ON changes (at);
CREATE INDEX changes_action ON changes (action, at);
CREATE INDEX changes_actor ON changes (actor_id, at);
CREATE INDEX changes_entity ON changes (entity_kind, entity_id);
COMMIT;
