-- Empty again, as expand left it; nothing is lost, since amount still holds every value.
UPDATE shop.orders SET amount_wide = NULL WHERE amount_wide IS NOT NULL;
