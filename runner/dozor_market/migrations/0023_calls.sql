-- Idempotency keys of calls, cancelled auctions, reassigned deposits, and an index for codes that look alike.
-- Safe while the previous version runs: one new table, and columns that are null or have a default.

CREATE TABLE market.calls (
    key        text PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 200),
    call       text NOT NULL,
    arguments  text NOT NULL,
    result     bigint,
    called_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE market.calls IS
    'Calls made with an idempotency key. A key is stored in the transaction of its call, so that a refused call leaves none. Rows may be deleted once no caller retries them any more.';
COMMENT ON COLUMN market.calls.key IS 'Chosen by the caller, one for each intended operation.';
COMMENT ON COLUMN market.calls.call IS 'Name of the call: "bid", "presale", "delivery".';
COMMENT ON COLUMN market.calls.arguments IS 'The call''s arguments as JSON with sorted keys. The same key with other arguments is refused.';
COMMENT ON COLUMN market.calls.result IS 'Id that the call returned; a repeated call returns it again.';
COMMENT ON COLUMN market.calls.called_at IS 'Time of the first call, by the database''s clock.';

ALTER TABLE market.auctions ADD COLUMN cancelled_at timestamptz;
COMMENT ON COLUMN market.auctions.cancelled_at IS
    'When a person cancelled it with `dozor market cancel`; its state is unsold then. Null: not cancelled.';

ALTER TABLE market.deposits ADD COLUMN reassigned integer NOT NULL DEFAULT 0 CHECK (reassigned >= 0);
COMMENT ON COLUMN market.deposits.reassigned IS
    'How many times a person moved it from one user to another: "deposit:7:reassigned:1" in market.movements.';

CREATE INDEX invoices_look ON market.invoices (translate(upper(code), 'OIL', '011'));
