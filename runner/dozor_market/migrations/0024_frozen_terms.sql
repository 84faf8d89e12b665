-- Terms of an auction are frozen by its first bid, those of a presale by its payment, which comes with the row.
-- Safe while the previous version runs: no statement of it changes these columns.

CREATE FUNCTION market.refuse_new_terms() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM market.bids WHERE auction_id = OLD.id) THEN
        RAISE EXCEPTION 'auction %: seller, fee, reserve, start price and increment are frozen by the first bid', OLD.id
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = 'market', TABLE = 'auctions',
                  CONSTRAINT = 'auctions_terms_frozen', HINT = 'Cancel the auction with `dozor market cancel`.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION market.refuse_new_terms() IS
    'Refuses a change of terms that bids were judged by. A bid locks its auction''s row, so that the two take turns.';
CREATE TRIGGER refuse_new_terms
    BEFORE UPDATE OF seller_id, fee_bps, reserve_price, start_price, min_increment ON market.auctions
    FOR EACH ROW WHEN (
        (OLD.seller_id, OLD.fee_bps, OLD.reserve_price, OLD.start_price, OLD.min_increment) IS DISTINCT FROM
        (NEW.seller_id, NEW.fee_bps, NEW.reserve_price, NEW.start_price, NEW.min_increment))
    EXECUTE FUNCTION market.refuse_new_terms();

CREATE FUNCTION market.refuse_new_terms_of_presale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'presale %: seller, buyer, fee and penalty are frozen by the payment', OLD.id
        USING ERRCODE = 'integrity_constraint_violation', SCHEMA = 'market', TABLE = 'presales',
              CONSTRAINT = 'presales_terms_frozen';
END $$;
COMMENT ON FUNCTION market.refuse_new_terms_of_presale() IS 'Refuses a change of terms that the buyer has paid for.';
CREATE TRIGGER refuse_new_terms
    BEFORE UPDATE OF seller_id, buyer_id, fee_bps, penalty ON market.presales
    FOR EACH ROW WHEN (
        (OLD.seller_id, OLD.buyer_id, OLD.fee_bps, OLD.penalty) IS DISTINCT FROM
        (NEW.seller_id, NEW.buyer_id, NEW.fee_bps, NEW.penalty))
    EXECUTE FUNCTION market.refuse_new_terms_of_presale();
