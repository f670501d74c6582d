-- People sign in: a password (Argon2id, PHC string) and sessions, of which only the keyed hash of the
-- secret is kept. A session that has ended is deleted.

ALTER TABLE users ADD COLUMN password_hash TEXT;

CREATE TABLE sessions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id     INTEGER NOT NULL REFERENCES users (id),
    secret_hash BLOB NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    ip          TEXT NOT NULL,
    user_agent  TEXT
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE INDEX invitations_user ON invitations (user_id);
