-- NOT VALID first, then VALIDATE: what it refuses from now on, and what was there before, are two statements.
ALTER TABLE shop.orders ADD CONSTRAINT orders_amount_wide_filled
    CHECK (amount_wide IS NOT NULL AND amount_wide >= 0) NOT VALID;
ALTER TABLE shop.orders VALIDATE CONSTRAINT orders_amount_wide_filled;
