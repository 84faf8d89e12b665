-- Money other than deposits is held back as well when one provider alone returned it: TON attached to jetton
-- notifications and excesses. Safe while the previous version runs: it writes amounts above 0 and no new column.

ALTER TABLE market.ton_pending ADD COLUMN attached numeric NOT NULL DEFAULT 0 CHECK (attached >= 0);
ALTER TABLE market.ton_pending DROP CONSTRAINT ton_pending_amount_check;
ALTER TABLE market.ton_pending ADD CONSTRAINT ton_pending_amount_check CHECK (amount >= 0 AND amount + attached > 0);
COMMENT ON TABLE market.ton_pending IS
    'Incoming transactions with money that one provider returned and that are not booked on its word alone. See `dozor market pending`.';
COMMENT ON COLUMN market.ton_pending.amount IS 'Nanotons, or the jetton''s own units; 0: the transaction is no deposit.';
COMMENT ON COLUMN market.ton_pending.attached IS 'Nanotons for the account `operating`, besides the amount.';
COMMENT ON COLUMN market.ton_pending.plain IS 'false: an operation that is not known, or a transfer of ours that came back; a person attributes it.';
COMMENT ON COLUMN market.ton_pending.state IS
    'unconfirmed: waits for a second provider; over_limit: behind the cursor, waits for a person, or for a second provider; credited; rejected: by a person, never credited; refuted: the agreed history does not contain it.';
