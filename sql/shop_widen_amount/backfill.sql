-- Orders from before the trigger. Only amount_wide is set: the trigger listens to amount and stays silent.
UPDATE shop.orders SET amount_wide = amount WHERE amount_wide IS NULL;
