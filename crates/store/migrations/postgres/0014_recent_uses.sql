-- The newest use of each token that was used lately, until it is put into `tokens`, which has wide rows and many indexes.
-- Rows are replaced each second and have no other index: with room in a page, none of that reaches the index.
CREATE TABLE recent_uses (
    token_id BIGINT PRIMARY KEY,
    at       BIGINT NOT NULL,
    ip       TEXT NOT NULL
) WITH (fillfactor = 50);
