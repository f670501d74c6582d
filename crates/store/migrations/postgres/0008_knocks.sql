-- Dead tokens that are still tried.
CREATE TABLE knocks (
    token_id BIGINT PRIMARY KEY REFERENCES tokens (id),
    count BIGINT NOT NULL CHECK (count > 0),
    at BIGINT NOT NULL,
    ip TEXT NOT NULL
);
-- What was done with a token.
CREATE INDEX changes_via ON changes (via_token, seq) WHERE via_token IS NOT NULL;
