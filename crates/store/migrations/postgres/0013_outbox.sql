-- Each channel's deliveries are sent on their own.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_queue ON deliveries (channel, next_at, id) WHERE state = 'pending';
-- What is old is found, and goes.
CREATE INDEX deliveries_alert ON deliveries (alert_id);
CREATE INDEX alerts_at ON alerts (at, id);
CREATE INDEX told_at ON told (at);
