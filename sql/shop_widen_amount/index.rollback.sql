DROP INDEX shop.orders_amount_wide_idx;
