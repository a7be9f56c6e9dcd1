CREATE INDEX orders_amount_wide_idx ON shop.orders (amount_wide);
