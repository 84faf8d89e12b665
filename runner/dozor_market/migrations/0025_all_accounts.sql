-- A user and a currency created at once: each trigger saw only what was committed before, so that the user had no
-- accounts in the currency. The triggers now take turns on one row. Accounts that are missing already are opened.
-- Safe while the previous version runs: its calls are the same, and wait for each other at most.

CREATE TABLE market.account_opening (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    currencies  bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE market.account_opening IS
    'One row, locked by the triggers that open accounts: shared by new users, exclusively by new currencies.';
COMMENT ON COLUMN market.account_opening.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN market.account_opening.currencies IS
    'Counts additions of currencies. The change makes a transaction with an older snapshot fail with a serialization error.';
INSERT INTO market.account_opening DEFAULT VALUES;

-- SECURITY DEFINER: a role that may insert users need not have rights on the new table.
-- Each statement of a function sees what was committed before it began (READ COMMITTED): lock first, then read.
-- With an older snapshot (REPEATABLE READ, SERIALIZABLE) the lock fails if a currency was added since.
CREATE OR REPLACE FUNCTION market.open_accounts() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM market.account_opening FOR SHARE;
    INSERT INTO market.accounts (user_id, kind, currency)
    SELECT f.id, k.kind, c.code
      FROM fresh f, market.currencies c, unnest(ARRAY['available', 'held', 'collateral']) AS k (kind);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION market.open_accounts_in_currency() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'a currency is added in a transaction of isolation level READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state',
                  HINT = 'With an older snapshot, users who were created meanwhile would get no accounts in it.';
    END IF;
    UPDATE market.account_opening SET currencies = currencies + 1;
    INSERT INTO market.accounts (user_id, kind, currency)
    SELECT u.id, k.kind, f.code
      FROM fresh f, market.users u, unnest(ARRAY['available', 'held', 'collateral']) AS k (kind)
     UNION ALL
    SELECT NULL, k.kind, f.code
      FROM fresh f, unnest(ARRAY['house', 'external', 'unattributed', 'operating']) AS k (kind);
    RETURN NULL;
END $$;

LOCK TABLE market.users, market.currencies IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO market.accounts (user_id, kind, currency)
SELECT u.id, k.kind, c.code
  FROM market.users u, market.currencies c, unnest(ARRAY['available', 'held', 'collateral']) AS k (kind)
 WHERE NOT EXISTS (SELECT FROM market.accounts a
                    WHERE a.user_id = u.id AND a.kind = k.kind AND a.currency = c.code);
INSERT INTO market.accounts (kind, currency)
SELECT k.kind, c.code
  FROM market.currencies c, unnest(ARRAY['house', 'external', 'unattributed', 'operating']) AS k (kind)
 WHERE NOT EXISTS (SELECT FROM market.accounts a
                    WHERE a.user_id IS NULL AND a.kind = k.kind AND a.currency = c.code);
