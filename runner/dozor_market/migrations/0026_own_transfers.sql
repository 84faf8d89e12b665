-- Transfers between our own wallets (sweeps, TON for gas) are recorded and not posted; addresses have one form; an
-- incident for books that could not be compared for hours.
-- Safe while the previous version runs: it writes none of the new words, and addresses in the form that is required.

ALTER TABLE market.deposits DROP CONSTRAINT deposits_state_check;
ALTER TABLE market.deposits ADD CONSTRAINT deposits_state_check
    CHECK (state IN ('credited', 'unmatched', 'attributed', 'dust', 'internal'));
COMMENT ON COLUMN market.deposits.state IS
    'credited; unmatched: kept on the unattributed account; attributed: credited later by a person; dust: below the limit, not posted; internal: sent by a wallet of ours, not posted.';

ALTER TABLE market.ton_incidents DROP CONSTRAINT ton_incidents_kind_check;
ALTER TABLE market.ton_incidents ADD CONSTRAINT ton_incidents_kind_check
    CHECK (kind IN ('provider_frozen', 'provider_older_state', 'provider_unverifiable', 'provider_failing',
                    'wallet_unreadable', 'jetton_wallet', 'foreign_jettons', 'own_transfers', 'reconciliation',
                    'not_compared'));

-- "0:" and "00:" are one account on the chain: as two rows its deposits would be credited twice. A trigger, not a
-- CHECK: a row that is there already must not make a statement about other wallets fail.
CREATE FUNCTION market.refuse_odd_address() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.address !~ '^(0|-1):[0-9a-f]{64}$' THEN
        RAISE EXCEPTION '% is not the raw form of an address: 0: or -1:, and 64 hex digits', NEW.address
            USING ERRCODE = 'check_violation', SCHEMA = 'market', TABLE = TG_TABLE_NAME,
                  CONSTRAINT = TG_TABLE_NAME || '_one_form';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION market.refuse_odd_address() IS 'Refuses a second form of an address, which would be a second wallet.';
CREATE TRIGGER refuse_odd_address BEFORE INSERT OR UPDATE OF address ON market.ton_wallets
    FOR EACH ROW EXECUTE FUNCTION market.refuse_odd_address();
CREATE TRIGGER refuse_odd_address BEFORE INSERT OR UPDATE OF address ON market.ton_jetton_wallets
    FOR EACH ROW EXECUTE FUNCTION market.refuse_odd_address();
