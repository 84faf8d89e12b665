-- PgQueuer records each step of a job in its log, three rows a run, which nothing reads or deletes: the state of a run
-- is in dozor.pool_runs. Nothing is recorded; what was recorded before is dropped.

CREATE FUNCTION dozor_queue.record_nothing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END
$$;

CREATE TRIGGER record_nothing BEFORE INSERT ON dozor_queue.pgqueuer_log
FOR EACH ROW EXECUTE FUNCTION dozor_queue.record_nothing();

TRUNCATE dozor_queue.pgqueuer_log;
