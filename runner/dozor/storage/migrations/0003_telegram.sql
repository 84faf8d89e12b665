-- What came of a command: the run it started, and how that ended. Menus the bot has set, to change only what differs.

ALTER TABLE dozor.commands
    ADD COLUMN run_number  bigint,             -- the task's how-manieth run this command has started
    ADD COLUMN run_outcome text
        CHECK (run_outcome IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost')),  -- null: it goes on
    ADD COLUMN run_seconds double precision,
    ADD COLUMN run_error   text;
CREATE INDEX commands_task ON dozor.commands (task, id DESC);
CREATE INDEX audit_target ON dozor.audit (target, id DESC) WHERE target <> '';

CREATE TABLE dozor.telegram_menus (
    scope  text PRIMARY KEY,                   -- "default", "chat:111", …, with the language behind it
    menu   text NOT NULL                       -- the commands and their descriptions, as they were set
);
