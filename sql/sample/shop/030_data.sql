-- Deterministic rows: 500 customers, 60 000 orders, one change that nobody has approved yet.
SET ROLE shop_owner;

INSERT INTO shop.customers (email, name)
SELECT format('c%s@example.org', n), format('Customer %s', n) FROM generate_series(1, 500) AS n;

INSERT INTO shop.orders (customer_id, amount, placed_at)
SELECT 1 + n % 500, (n % 100000) / 100.0, timestamptz '2026-01-01 00:00+00' + n * interval '1 minute'
FROM generate_series(1, 60000) AS n;

INSERT INTO shop.change_requests (change_code, title, requested_at)
VALUES ('CHG-ORDERS-AMOUNT', 'Four digits behind the point in shop.orders.amount', '2026-05-20 08:00+00');

-- Quiet: who is no superuser may not analyse the system's catalogs, and need not.
SET client_min_messages = error;
ANALYZE;
RESET client_min_messages;
RESET ROLE;
