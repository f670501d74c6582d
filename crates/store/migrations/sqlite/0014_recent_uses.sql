-- The newest use of each token that was used lately, until it is put into `tokens`, which has wide rows and many indexes.
CREATE TABLE recent_uses (
    token_id INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    ip       TEXT NOT NULL
) STRICT;
