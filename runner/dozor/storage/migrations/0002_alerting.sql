-- Incidents that flap, are taken on, silenced or explained; deliveries to several destinations; living messages.
-- Only additions with defaults: the version before goes on working while this is applied.

ALTER TABLE dozor.incidents
    ADD COLUMN occurrences     integer NOT NULL DEFAULT 1,    -- flapping and reopening: how often it came back
    ADD COLUMN calm_since      timestamptz,                   -- flapping and quiet since: resolved when it stays so
    ADD COLUMN ack_expires_at  timestamptz,
    ADD COLUMN level_since     timestamptz,                   -- what reminders and escalation count from
    ADD COLUMN reminders       integer NOT NULL DEFAULT 0,    -- since then
    ADD COLUMN level           integer NOT NULL DEFAULT 0,    -- escalation levels told since then
    ADD COLUMN explained_by    bigint,                        -- the dependency's incident that swallows this one
    ADD COLUMN silenced_by     bigint,                        -- the silence under which it is
    ADD COLUMN storm           bigint,                        -- the storm's incident in whose digest it stands
    ADD COLUMN told            boolean NOT NULL DEFAULT true, -- false: nobody has been told of it by itself
    ADD COLUMN facts           jsonb NOT NULL DEFAULT '{}';   -- what its living message says
CREATE INDEX incidents_storm ON dozor.incidents (storm) WHERE storm IS NOT NULL;

-- A row is one message owed to one destination ('' is telegram.chat). The most urgent leaves first.
ALTER TABLE dozor.notifications
    ADD COLUMN destination text NOT NULL DEFAULT '',
    ADD COLUMN priority    smallint NOT NULL DEFAULT 1,
    ADD COLUMN expires_at  timestamptz,                       -- worth nothing after this
    DROP CONSTRAINT notifications_state_check,
    ADD CONSTRAINT notifications_state_check
        CHECK (state IN ('pending', 'sending', 'delivered', 'undeliverable', 'superseded', 'expired'));
CREATE INDEX notifications_lane ON dozor.notifications (destination, priority, id)
    WHERE state IN ('pending', 'sending');

-- What a chat shows of an incident: the message that is edited while the incident lives.
CREATE TABLE dozor.living_messages (
    destination  text NOT NULL,
    incident_id  bigint NOT NULL,
    first_id     bigint NOT NULL,                             -- the first message: later ones reply to it
    message_id   bigint NOT NULL,                             -- the newest one: edited in place
    shown_at     timestamptz NOT NULL,                        -- the `updated_at` of the incident it shows
    PRIMARY KEY (destination, incident_id)
);

-- What is known about where messages go, beside the configuration.
CREATE TABLE dozor.destinations (
    key          text PRIMARY KEY,
    chat_id      bigint NOT NULL,                             -- as configured
    moved_to     bigint,                                      -- the supergroup it became
    held_until   timestamptz,                                 -- told to wait
    dead_since   timestamptz,                                 -- refuses us since
    dead_reason  text,
    topic_lost   boolean NOT NULL DEFAULT false               -- its topic is closed or gone
);

CREATE TABLE dozor.silences (
    id           bigint PRIMARY KEY,                          -- given by the runner
    scope        text NOT NULL CHECK (scope IN ('all', 'task', 'kind', 'incident')),
    target       text NOT NULL DEFAULT '',                    -- a task, a kind, an incident's id
    reason       text NOT NULL DEFAULT '',
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    ends_at      timestamptz,                                 -- null: until the incident is resolved
    ended_at     timestamptz,
    ended_by     text                                         -- null: by itself
);
CREATE INDEX silences_active ON dozor.silences (id) WHERE ended_at IS NULL;

-- Who stands in for whom: the newest that covers a moment wins over the rotation.
CREATE TABLE dozor.oncall_overrides (
    id           bigint PRIMARY KEY,                          -- given by the runner
    person       text NOT NULL,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL
);
