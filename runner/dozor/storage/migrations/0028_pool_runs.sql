-- Runs that the leader gives to workers (`placement: pool`). PgQueuer distributes them; who owns a run, and how it
-- ended, is decided by its row here. Only additions: the version before does not touch these tables.

-- No index holds a column that changes: every update is a HOT update. The table has rows of runs in progress only.
-- queued ─claimed by a worker─▶ running ─ended by it, by (id, token)─▶ ended ─consumed by the leader─▶ taken
--    │                             └─silent for too long, by the leader alone─▶ lost ─────────────────▶ taken
--    └─taken back by the leader──────────────────────────────────────────────▶ ended
CREATE TABLE dozor.pool_runs (
    id            text PRIMARY KEY,                 -- ctx.run_id
    token         bigint NOT NULL DEFAULT 0,        -- grows by one with each claim
    task          text NOT NULL,
    due_at        timestamptz NOT NULL,
    pool          text NOT NULL,
    state         text NOT NULL DEFAULT 'queued'
                  CHECK (state IN ('queued', 'running', 'ended', 'lost', 'taken')),
    epoch         bigint NOT NULL,                  -- of the leader whose run it is; an adopted run gets the new one
    attempt       integer NOT NULL,
    number        integer NOT NULL,                 -- of the run within the epoch that began it
    queued_at     timestamptz NOT NULL DEFAULT now(),
    claimed_by    text,                             -- the worker, for people
    claimed_at    timestamptz,
    heartbeat_at  timestamptz,                      -- of the worker's process
    stop          text CHECK (stop IN ('ask', 'cancel')),  -- asked for by the leader
    reports       jsonb,                            -- progress, backlog, heartbeat and hang of the run
    reported_at   timestamptz,
    outcome       text CHECK (outcome IN ('succeeded', 'failed', 'interrupted', 'cancelled')),
    failure       jsonb,                            -- of `failed` and `interrupted`
    ended_at      timestamptz,
    UNIQUE (task, due_at)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 2000);

-- `ctx.alert` of runs on workers, until the leader has made incidents of them.
CREATE TABLE dozor.pool_alerts (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task      text NOT NULL,
    text      text NOT NULL,
    severity  text NOT NULL,
    at        timestamptz NOT NULL DEFAULT now()
);
