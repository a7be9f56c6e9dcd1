-- A nullable column: no rewrite. The trigger keeps it in step while the shop goes on writing the old one.
ALTER TABLE shop.orders ADD COLUMN amount_wide numeric(18, 4);

CREATE FUNCTION shop.orders_amount_sync() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.amount_wide := NEW.amount;
    RETURN NEW;
END $$;

CREATE TRIGGER orders_amount_sync BEFORE INSERT OR UPDATE OF amount ON shop.orders
    FOR EACH ROW EXECUTE FUNCTION shop.orders_amount_sync();
