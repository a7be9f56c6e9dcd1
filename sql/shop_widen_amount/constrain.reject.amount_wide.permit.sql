-- Permitted: any amount from nothing upwards, with four digits. The statement must match a row to be refused.
UPDATE shop.orders SET amount_wide = '99999999999999.9999'
WHERE order_id = (SELECT min(order_id) FROM shop.orders);
