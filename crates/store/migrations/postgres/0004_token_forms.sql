-- The number of the form a token was made with: a form that is sent twice makes one token.

ALTER TABLE tokens ADD COLUMN form TEXT;
CREATE UNIQUE INDEX tokens_form ON tokens (created_by, form) WHERE form IS NOT NULL;
