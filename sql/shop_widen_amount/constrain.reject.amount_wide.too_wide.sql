-- Permitted: any amount from nothing upwards, with four digits. The statement must match a row to be refused.
UPDATE shop.orders SET amount_wide = '100000000000000'
WHERE order_id = (SELECT min(order_id) FROM shop.orders);
