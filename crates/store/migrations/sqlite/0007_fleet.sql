-- A SQLite store belongs to one process: there is no fleet.
SELECT 1;
