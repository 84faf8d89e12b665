-- Messages of an incident that may have buttons, beside the one that is edited: its end is shown in each of them.
-- Only an addition: the version before does not touch this table.

CREATE TABLE dozor.incident_messages (
    destination  text NOT NULL,
    message_id   bigint NOT NULL,
    incident_id  bigint NOT NULL,
    PRIMARY KEY (destination, message_id)
);
CREATE INDEX incident_messages_incident ON dozor.incident_messages (incident_id);
