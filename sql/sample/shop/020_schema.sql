-- A shop: orders with a hot numeric column that must grow from numeric(10,2) to numeric(18,4).
SET ROLE shop_owner;

CREATE SCHEMA shop;

CREATE TABLE shop.customers (
    customer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email       text NOT NULL UNIQUE,
    name        text
);
CREATE TABLE shop.orders (
    order_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES shop.customers,
    amount      numeric(10, 2) NOT NULL CONSTRAINT orders_amount_positive CHECK (amount >= 0),
    placed_at   timestamptz NOT NULL
);
CREATE INDEX orders_customer_idx ON shop.orders (customer_id, placed_at);
COMMENT ON COLUMN shop.orders.amount IS 'In the currency of the shop; two digits were enough once';

CREATE TABLE shop.change_requests (
    change_code  text PRIMARY KEY,
    title        text NOT NULL,
    requested_at timestamptz NOT NULL,
    approved_by  text,
    approved_at  timestamptz,
    CONSTRAINT change_requests_approved_by_someone CHECK ((approved_by IS NULL) = (approved_at IS NULL))
);
COMMENT ON TABLE shop.change_requests IS 'What may be changed in production. Only people write here.';

CREATE VIEW shop.revenue_by_month AS
SELECT date_trunc('month', placed_at, 'UTC') AS month, count(*) AS orders, sum(amount) AS amount
FROM shop.orders
GROUP BY 1;

RESET ROLE;
