-- TON deposits: what waits for a second provider or for a person, and what providers contradict each other about.

CREATE TABLE market.ton_pending (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account      text NOT NULL REFERENCES market.ton_wallets (address),
    lt           bigint NOT NULL CHECK (lt > 0),
    hash         bytea NOT NULL CHECK (length(hash) = 32),
    currency     text NOT NULL,
    amount       numeric NOT NULL CHECK (amount > 0),
    sender       text NOT NULL,
    comment      text,
    plain        boolean NOT NULL,
    received_at  timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL DEFAULT now(),
    providers    text[] NOT NULL CHECK (cardinality(providers) > 0),
    others       text NOT NULL,
    omitted      boolean NOT NULL,
    state        text NOT NULL CHECK (state IN ('unconfirmed', 'over_limit', 'credited', 'rejected', 'refuted')),
    alerted_at   timestamptz,
    ended_at     timestamptz,
    CONSTRAINT ton_pending_once UNIQUE (account, lt, hash),
    CONSTRAINT ton_pending_ended CHECK ((ended_at IS NULL) = (state IN ('unconfirmed', 'over_limit')))
);
CREATE INDEX ton_pending_open ON market.ton_pending (account, lt) WHERE ended_at IS NULL;
CREATE INDEX ton_pending_unalerted ON market.ton_pending (id) WHERE alerted_at IS NULL;
COMMENT ON TABLE market.ton_pending IS
    'Incoming transfers that one provider returned and that are not credited on its word alone. See `dozor market pending`.';
COMMENT ON COLUMN market.ton_pending.id IS 'Number that `dozor market approve` and `dozor market reject` take.';
COMMENT ON COLUMN market.ton_pending.account IS 'Our wallet.';
COMMENT ON COLUMN market.ton_pending.lt IS 'Logical time of the transaction.';
COMMENT ON COLUMN market.ton_pending.hash IS 'Hash of the transaction, as computed from its cell.';
COMMENT ON COLUMN market.ton_pending.currency IS 'TON, or the jetton''s currency.';
COMMENT ON COLUMN market.ton_pending.amount IS 'Nanotons, or the jetton''s own units.';
COMMENT ON COLUMN market.ton_pending.sender IS 'Sender''s address, raw form.';
COMMENT ON COLUMN market.ton_pending.comment IS 'Text of the transfer; null: none, or not readable.';
COMMENT ON COLUMN market.ton_pending.plain IS 'false: an operation that is not known, which a person attributes.';
COMMENT ON COLUMN market.ton_pending.received_at IS 'Time of the transaction, as the provider gave it.';
COMMENT ON COLUMN market.ton_pending.seen_at IS 'When a provider first returned it.';
COMMENT ON COLUMN market.ton_pending.providers IS 'Providers that returned it.';
COMMENT ON COLUMN market.ton_pending.others IS 'What the other providers answered in the last round that saw it.';
COMMENT ON COLUMN market.ton_pending.omitted IS 'Another provider answered without it, so its own age counts and not only how long it has been seen.';
COMMENT ON COLUMN market.ton_pending.state IS
    'unconfirmed: waits for a second provider; over_limit: waits for a person, or for a second provider; credited; rejected: by a person, never credited; refuted: the agreed history does not contain it.';
COMMENT ON COLUMN market.ton_pending.alerted_at IS 'When people were alerted in this state; null: not yet.';
COMMENT ON COLUMN market.ton_pending.ended_at IS 'When it was credited, rejected or refuted; null: it waits.';

CREATE TABLE market.ton_single_source_credits (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    currency     text NOT NULL,
    amount       numeric NOT NULL CHECK (amount > 0),
    credited_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ton_single_source_credits_window ON market.ton_single_source_credits (credited_at);
COMMENT ON TABLE market.ton_single_source_credits IS
    'What was credited on the word of a single provider, for the limit per window. Rows older than the window are deleted.';
COMMENT ON COLUMN market.ton_single_source_credits.id IS 'Number of the row.';
COMMENT ON COLUMN market.ton_single_source_credits.currency IS 'TON, or the jetton''s currency.';
COMMENT ON COLUMN market.ton_single_source_credits.amount IS 'Sum of one database transaction, in smallest units.';
COMMENT ON COLUMN market.ton_single_source_credits.credited_at IS 'When it was credited.';

CREATE TABLE market.ton_contradictions (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account       text NOT NULL REFERENCES market.ton_wallets (address),
    evidence      jsonb NOT NULL,
    latest        jsonb NOT NULL,
    rounds        bigint NOT NULL DEFAULT 1 CHECK (rounds > 0),
    seen_at       timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    alerted_at    timestamptz,
    ended_at      timestamptz
);
CREATE UNIQUE INDEX ton_contradictions_one_open ON market.ton_contradictions (account) WHERE ended_at IS NULL;
COMMENT ON TABLE market.ton_contradictions IS
    'Histories of one wallet that exclude each other. A round that finds one credits nothing to the wallet.';
COMMENT ON COLUMN market.ton_contradictions.id IS 'Number of the contradiction.';
COMMENT ON COLUMN market.ton_contradictions.account IS 'Our wallet.';
COMMENT ON COLUMN market.ton_contradictions.evidence IS
    'What each provider returned in the first round: lt, hash, kind, currency and amount of the transactions in dispute.';
COMMENT ON COLUMN market.ton_contradictions.latest IS 'The same of the last round that found it.';
COMMENT ON COLUMN market.ton_contradictions.rounds IS 'Rounds that found it.';
COMMENT ON COLUMN market.ton_contradictions.seen_at IS 'First such round.';
COMMENT ON COLUMN market.ton_contradictions.last_seen_at IS 'Last such round.';
COMMENT ON COLUMN market.ton_contradictions.alerted_at IS 'Last alert about it; null: not yet.';
COMMENT ON COLUMN market.ton_contradictions.ended_at IS 'When the providers had agreed for some time; null: open.';
