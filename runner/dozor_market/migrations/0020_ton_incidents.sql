-- TON deposits: incidents of providers, wallets and the reconciliation; codes compared by their key; jetton wallets
-- verified through their master. Additions only, safe while the previous version runs.

ALTER TABLE market.invoices ADD COLUMN code_key text;
COMMENT ON COLUMN market.invoices.code_key IS
    'The code as it is compared with comments (dozor_market.ton.messages.comments.comment_key); null: the deposits'' checker has yet to write it.';
CREATE INDEX invoices_by_code_key ON market.invoices (code_key);
CREATE INDEX invoices_without_key ON market.invoices (id) WHERE code_key IS NULL;
CREATE FUNCTION market.forget_code_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.code_key := NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION market.forget_code_key() IS 'A code that is changed gets a new key.';
CREATE TRIGGER forget_code_key BEFORE UPDATE OF code ON market.invoices
    FOR EACH ROW EXECUTE FUNCTION market.forget_code_key();

CREATE INDEX deposits_unmatched_alerted ON market.deposits (alerted_at) WHERE state = 'unmatched' AND alerted_at IS NOT NULL;

ALTER TABLE market.ton_wallets ADD COLUMN read_at timestamptz;
COMMENT ON COLUMN market.ton_wallets.read_at IS
    'When its own history was last asked for; null: not yet. Many wallets are read by blocks, and each by itself in turn.';

ALTER TABLE market.ton_jetton_wallets ADD COLUMN master text CHECK (master ~ '^-?[0-9]+:[0-9a-f]{64}$');
ALTER TABLE market.ton_jetton_wallets ADD COLUMN verified_at timestamptz;
COMMENT ON COLUMN market.ton_jetton_wallets.master IS 'The jetton''s master, raw form; null: not configured.';
COMMENT ON COLUMN market.ton_jetton_wallets.verified_at IS
    'When the master last named this address as the owner''s jetton wallet; null: not yet.';

CREATE TABLE market.ton_incidents (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('provider_frozen', 'provider_older_state', 'provider_unverifiable',
                                                'provider_failing', 'wallet_unreadable', 'jetton_wallet',
                                                'foreign_jettons', 'reconciliation')),
    subject       text NOT NULL,
    urgent        boolean NOT NULL,
    evidence      text NOT NULL,
    latest        text NOT NULL,
    rounds        bigint NOT NULL DEFAULT 1 CHECK (rounds > 0),
    seen_at       timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    alerted_at    timestamptz,
    ended_at      timestamptz
);
CREATE UNIQUE INDEX ton_incidents_one_open ON market.ton_incidents (kind, subject) WHERE ended_at IS NULL;
COMMENT ON TABLE market.ton_incidents IS
    'What is wrong with a provider, a wallet or the books, each alerted once and then daily while it lasts.';
COMMENT ON COLUMN market.ton_incidents.id IS 'Number of the incident.';
COMMENT ON COLUMN market.ton_incidents.kind IS 'See dozor_market.ton.incidents.IncidentKind.';
COMMENT ON COLUMN market.ton_incidents.subject IS 'The provider, the wallet, or the check of the reconciliation.';
COMMENT ON COLUMN market.ton_incidents.urgent IS 'Alerted at the first sight; otherwise once it has lasted for a while.';
COMMENT ON COLUMN market.ton_incidents.evidence IS 'What was seen first.';
COMMENT ON COLUMN market.ton_incidents.latest IS 'What was seen last.';
COMMENT ON COLUMN market.ton_incidents.rounds IS 'Runs that saw it.';
COMMENT ON COLUMN market.ton_incidents.seen_at IS 'First such run.';
COMMENT ON COLUMN market.ton_incidents.last_seen_at IS 'Last such run.';
COMMENT ON COLUMN market.ton_incidents.alerted_at IS 'Last alert about it; null: not yet.';
COMMENT ON COLUMN market.ton_incidents.ended_at IS 'When it had not been seen for some time; null: it lasts.';
