-- What the runner must not lose: the state of tasks, their runs, incidents, messages owed, commands, audit.
-- Times are timestamptz (UTC inside); durations are seconds in double precision.

-- One row a process start. `id` is the runner's generation: run ids and notification keys begin with it.
CREATE TABLE dozor.runners (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host        text NOT NULL,
    pid         integer NOT NULL,
    version     text NOT NULL,
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,           -- last checkpoint: how fresh `tasks` is
    ended_at    timestamptz,                    -- null: running, or ended uncleanly
    clean       boolean                         -- false: found dead by the next start
);

CREATE TABLE dozor.tasks (
    name                     text PRIMARY KEY,
    configured               boolean NOT NULL DEFAULT true,   -- false: gone from the config, kept for its history
    position                 integer NOT NULL DEFAULT 0,      -- order of the config file
    description              text NOT NULL DEFAULT '',
    schedule                 text NOT NULL DEFAULT '',        -- for people: "every 60s", "cron */5 * * * *"
    max_consecutive_failures integer,                         -- null: never stopped
    state                    text NOT NULL
        CHECK (state IN ('waiting', 'running', 'backoff', 'stopped', 'paused', 'held')),
    consecutive_failures     integer NOT NULL DEFAULT 0 CHECK (consecutive_failures >= 0),
    runs_total               bigint NOT NULL DEFAULT 0,
    failures_total           bigint NOT NULL DEFAULT 0,
    last_started_at          timestamptz,
    last_success_at          timestamptz,
    last_duration            double precision,                -- of the last finished run, seconds
    failing_since            timestamptz,                     -- first failure of the present streak
    last_failed_at           timestamptz,
    last_error_type          text,
    last_error_text          text,
    last_error_where         text,                            -- deepest frame of the user's own code
    next_run_at              timestamptz,
    running_since            timestamptz,                     -- a run is in progress since
    state_by                 text,                            -- who paused, resumed or restarted it last
    progress_done            double precision,
    progress_total           double precision,
    backlog_size             bigint,                          -- items not yet processed, as the checker says
    backlog_oldest_at        timestamptz,                     -- when the oldest of them became due
    updated_at               timestamptz NOT NULL
) WITH (fillfactor = 50);                                     -- room for HOT updates: rows are rewritten all the time

-- A row is a stretch of runs with one outcome: a single run, or for frequent checkers the successes of a minute.
CREATE TABLE dozor.runs (
    id           text PRIMARY KEY,                            -- "generation-number" of its last run
    task         text NOT NULL,
    started_at   timestamptz NOT NULL,                        -- of its first run
    finished_at  timestamptz NOT NULL,                        -- of its last run
    outcome      text NOT NULL
        CHECK (outcome IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost')),
    runs         integer NOT NULL DEFAULT 1 CHECK (runs > 0),
    seconds      double precision NOT NULL,                   -- sum of durations
    seconds_max  double precision NOT NULL,
    attempt      integer NOT NULL DEFAULT 1,                  -- 1 + failures in a row before it
    error_type   text,
    error_text   text,
    traceback    text
);
CREATE INDEX runs_task_finished ON dozor.runs (task, finished_at DESC);
CREATE INDEX runs_finished ON dozor.runs (finished_at);

CREATE TABLE dozor.incidents (
    id               bigint PRIMARY KEY,                      -- given by the runner: it alone opens incidents
    task             text,                                    -- null: of the runner itself
    kind             text NOT NULL,
    severity         text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    state            text NOT NULL CHECK (state IN ('open', 'acknowledged', 'resolved')),
    fingerprint      text NOT NULL,
    summary          text NOT NULL,                           -- error type and text, redacted
    failures         integer NOT NULL DEFAULT 0,
    opened_at        timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    acknowledged_at  timestamptz,
    acknowledged_by  text,
    resolved_at      timestamptz,
    resolved_by      text,                                    -- null: by itself
    notified_at      timestamptz                              -- last notification: when the next reminder is due
);
CREATE INDEX incidents_open ON dozor.incidents (task) WHERE state <> 'resolved';
CREATE INDEX incidents_opened ON dozor.incidents (opened_at DESC);

-- The outbox: messages owed to somebody. `key` makes writing one twice impossible.
CREATE TABLE dozor.notifications (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key              text NOT NULL UNIQUE,
    incident_id      bigint,
    task             text,
    kind             text NOT NULL,
    severity         text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    payload          jsonb NOT NULL,
    state            text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'sending', 'delivered', 'undeliverable')),
    attempts         integer NOT NULL DEFAULT 0,
    unknown_outcomes integer NOT NULL DEFAULT 0,              -- attempts that may have arrived all the same
    created_at       timestamptz NOT NULL,
    next_attempt_at  timestamptz NOT NULL,
    delivered_at     timestamptz,
    transport        text,                                    -- what delivered it: telegram, console
    message_id       bigint,
    last_error       text
);
CREATE INDEX notifications_owed ON dozor.notifications (id) WHERE state IN ('pending', 'sending');
CREATE INDEX notifications_incident ON dozor.notifications (incident_id) WHERE incident_id IS NOT NULL;

-- The door for people: the bot, the command line and the web page write here, the runner carries out.
CREATE TABLE dozor.commands (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    task         text NOT NULL,
    args         jsonb NOT NULL DEFAULT '{}',
    actor        text NOT NULL,                               -- "telegram:111", "cli:ann@host"
    place        text NOT NULL DEFAULT '',                    -- where they were: a chat id, a host
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'refused', 'expired')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    result       text                                         -- a reason code, see runner.control.commands
);
CREATE INDEX commands_pending ON dozor.commands (id) WHERE state = 'pending';

CREATE TABLE dozor.audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text NOT NULL,
    source   text NOT NULL CHECK (source IN ('telegram', 'cli', 'web', 'runner')),
    place    text NOT NULL DEFAULT '',                        -- chat, host
    action   text NOT NULL,
    target   text NOT NULL DEFAULT '',
    result   text NOT NULL                                    -- "done", "refused: …", "denied"
);
CREATE INDEX audit_at ON dozor.audit (at DESC);

-- Updates already taken from Telegram: each is handled once, across restarts.
CREATE TABLE dozor.telegram_updates (
    update_id  bigint PRIMARY KEY,
    taken_at   timestamptz NOT NULL DEFAULT now()
);
