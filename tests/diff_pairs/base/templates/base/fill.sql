UPDATE orders SET filled = true WHERE id IN (SELECT id FROM orders WHERE NOT filled ORDER BY id LIMIT 100);
