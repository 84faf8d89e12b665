-- TON that comes attached to jetton notifications and excesses gets an account of its own, so that the ledger
-- agrees with the chain; deposits that a person compensated by hand can be excluded from a rescan.
-- Safe while the previous version runs: it writes none of the new words and does not read the new table.

ALTER TABLE market.accounts DROP CONSTRAINT accounts_kind_check;
ALTER TABLE market.accounts ADD CONSTRAINT accounts_kind_check
    CHECK (kind IN ('available', 'held', 'collateral', 'house', 'external', 'unattributed', 'operating'));
COMMENT ON COLUMN market.accounts.kind IS
    'available: free to spend; held: for bids and presales; collateral: a seller''s security; house: fees and penalties; external: the world outside (negative by what came in); unattributed: deposits whose owner is not known yet; operating: TON attached to jetton notifications and excesses, for network fees.';
INSERT INTO market.accounts (kind, currency) SELECT 'operating', code FROM market.currencies;

CREATE OR REPLACE FUNCTION market.open_accounts_in_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO market.accounts (user_id, kind, currency)
    SELECT u.id, k.kind, f.code
      FROM fresh f, market.users u, unnest(ARRAY['available', 'held', 'collateral']) AS k (kind)
     UNION ALL
    SELECT NULL, k.kind, f.code
      FROM fresh f, unnest(ARRAY['house', 'external', 'unattributed', 'operating']) AS k (kind);
    RETURN NULL;
END $$;

CREATE TABLE market.ton_exclusions (
    account      text NOT NULL REFERENCES market.ton_wallets (address),
    hash         bytea NOT NULL CHECK (length(hash) = 32),
    excluded_by  text NOT NULL,
    excluded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, hash)
);
COMMENT ON TABLE market.ton_exclusions IS
    'Transactions that are never booked: somebody compensated the deposit by hand. Written by `dozor market rescan --exclude`.';
COMMENT ON COLUMN market.ton_exclusions.account IS 'Our wallet.';
COMMENT ON COLUMN market.ton_exclusions.hash IS 'Hash of the transaction.';
COMMENT ON COLUMN market.ton_exclusions.excluded_by IS 'Who said so: an actor of dozor.audit, or whatever a person wrote.';
COMMENT ON COLUMN market.ton_exclusions.excluded_at IS 'When.';
