-- The servers that answer checks, a row each (nodes.rs).
CREATE TABLE nodes (
    incarnation TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    started_at BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    renewals BIGINT NOT NULL,
    applied_seq BIGINT NOT NULL
);
-- Wakes whoever follows the log of changes.
CREATE FUNCTION wake_followers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhouse_changes', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_head_moved AFTER UPDATE ON audit_head FOR EACH ROW EXECUTE FUNCTION wake_followers();
-- Tells whoever waits for a node what it shows.
CREATE FUNCTION tell_of_node() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhouse_nodes', NEW.incarnation || ' ' || NEW.applied_seq);
    RETURN NULL;
END
$$;
CREATE TRIGGER node_applied AFTER UPDATE ON nodes FOR EACH ROW
    WHEN (OLD.applied_seq IS DISTINCT FROM NEW.applied_seq) EXECUTE FUNCTION tell_of_node();
