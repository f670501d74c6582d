-- What people are told, and how far what follows the audit trail has come.

-- Of whoever follows the trail, or looks at the clock, how far they have come: a number of a record, or a time.
CREATE TABLE positions (
    name          TEXT PRIMARY KEY,
    at            INTEGER NOT NULL,
    claimed_by    TEXT,
    claimed_until INTEGER
) STRICT;
-- Nobody is alerted of what happened before there were alerts.
INSERT INTO positions (name, at) SELECT 'alerts', coalesce(max(seq), 0) FROM changes;

-- To whom: `recipient_id`, or all Admins where it is NULL.
CREATE TABLE alerts (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    recipient_id INTEGER REFERENCES users (id),
    token_id     INTEGER,
    user_id      INTEGER,
    title        TEXT NOT NULL,
    text         TEXT NOT NULL,
    path         TEXT NOT NULL
) STRICT;
CREATE INDEX alerts_recipient ON alerts (coalesce(recipient_id, 0), id);

-- What somebody was told last of a thing, so that it isn't told again too soon.
CREATE TABLE told (
    subject TEXT PRIMARY KEY,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An alert on its way through a channel; by e-mail to `user_id`.
CREATE TABLE deliveries (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id      INTEGER NOT NULL REFERENCES alerts (id),
    channel       TEXT NOT NULL,
    user_id       INTEGER REFERENCES users (id),
    state         TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'dead')),
    attempts      INTEGER NOT NULL DEFAULT 0,
    next_at       INTEGER NOT NULL,
    claimed_until INTEGER NOT NULL DEFAULT 0,
    last_error    TEXT
) STRICT;
CREATE INDEX deliveries_due ON deliveries (next_at, id) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'dead';

-- The networks that a token was used from.
CREATE TABLE token_networks (
    token_id INTEGER NOT NULL REFERENCES tokens (id),
    network  TEXT NOT NULL,
    PRIMARY KEY (token_id, network)
) STRICT, WITHOUT ROWID;

-- What the clock brings about, in the order in which it does.
CREATE INDEX tokens_expiring ON tokens (expires_at, id)
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL;
CREATE INDEX tokens_unused ON tokens (coalesce(last_used_at, created_at), id)
    WHERE revoked_at IS NULL AND deleted_at IS NULL;
CREATE INDEX tokens_scim ON tokens (last_used_at)
    WHERE scim_only = 1 AND revoked_at IS NULL AND deleted_at IS NULL;
