-- Dead tokens that are still tried.
CREATE TABLE knocks (
    token_id BIGINT PRIMARY KEY REFERENCES tokens (id),
    count BIGINT NOT NULL CHECK (count > 0),
    at BIGINT NOT NULL,
    ip TEXT NOT NULL
);
