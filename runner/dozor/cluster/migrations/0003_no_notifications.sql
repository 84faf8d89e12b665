-- PgQueuer notifies of every statement on its queue, three for each run. Nobody listens to that: workers are woken by the
-- channel dozor_pool_queued. PostgreSQL commits notifying transactions one after the other, so it cost throughput.

ALTER TABLE dozor_queue.pgqueuer DISABLE TRIGGER tg_pgqueuer_changed;
