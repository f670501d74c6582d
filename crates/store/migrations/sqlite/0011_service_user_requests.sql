-- Service users that somebody asks for. None exists before an Admin approves.
CREATE TABLE service_user_requests (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    made_by         INTEGER NOT NULL REFERENCES users (id),
    made_at         INTEGER NOT NULL,
    name            TEXT NOT NULL,
    role            TEXT NOT NULL,
    teams           TEXT NOT NULL,
    purpose         TEXT NOT NULL,
    owner           TEXT,
    state           TEXT NOT NULL CHECK (state IN ('open', 'approved', 'declined', 'withdrawn')),
    decided_by      INTEGER REFERENCES users (id),
    decided_at      INTEGER,
    comment         TEXT,
    service_user_id INTEGER REFERENCES users (id)
) STRICT;
CREATE INDEX service_user_requests_made_by ON service_user_requests (made_by, id);
CREATE INDEX service_user_requests_state ON service_user_requests (state, id);
