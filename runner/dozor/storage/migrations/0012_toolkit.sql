-- What checkers keep between runs: items set aside, cursors, whether they have fallen behind.

CREATE TABLE dozor.quarantine (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    checker      text NOT NULL,
    item         text NOT NULL,
    reason       text NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    alerted_at   timestamptz
);
CREATE INDEX quarantine_item ON dozor.quarantine (checker, item);
CREATE INDEX quarantine_untold ON dozor.quarantine (checker, id) WHERE alerted_at IS NULL;
COMMENT ON TABLE dozor.quarantine IS 'Items a checker could not process and set aside, so that they block nothing else.';
COMMENT ON COLUMN dozor.quarantine.id IS 'Number of the entry.';
COMMENT ON COLUMN dozor.quarantine.checker IS 'Whose item it is.';
COMMENT ON COLUMN dozor.quarantine.item IS 'Which item, as the alert names it: "auction 17".';
COMMENT ON COLUMN dozor.quarantine.reason IS 'What is wrong with it.';
COMMENT ON COLUMN dozor.quarantine.set_aside_at IS 'Since when.';
COMMENT ON COLUMN dozor.quarantine.alerted_at IS 'When people were told; null: not yet.';

CREATE TABLE dozor.cursors (
    name      text PRIMARY KEY,
    position  jsonb NOT NULL,
    moved_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dozor.cursors IS 'How far a checker has read a source; moved in the transaction that keeps what was read.';
COMMENT ON COLUMN dozor.cursors.name IS 'The checker and its source.';
COMMENT ON COLUMN dozor.cursors.position IS 'Whatever the source needs to go on from there.';
COMMENT ON COLUMN dozor.cursors.moved_at IS 'Last move.';
