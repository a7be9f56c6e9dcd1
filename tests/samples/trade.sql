-- A trading house with a past: old tables beside new ones, keys that do not hold for old rows, links to the outside,
-- large objects, names nobody would choose today.
CREATE TABLE "Order Details" ("OrderID" int NOT NULL, "ProductID" smallint NOT NULL, "UnitPrice" real NOT NULL, "Quantity" smallint NOT NULL, "Discount" real NOT NULL DEFAULT 0);
CREATE TABLE orders ("OrderID" int PRIMARY KEY, customer char(5), placed date DEFAULT '-infinity', shipped timestamp, freight real, ship_to text);
CREATE TABLE products ("ProductID" smallint PRIMARY KEY, name varchar(40) NOT NULL, price money, category int, discontinued bit(1) NOT NULL DEFAULT B'0', barcode numeric(13));
CREATE TABLE customers (id char(5) PRIMARY KEY, name varchar(40), fax text, photo oid, notes xml);
CREATE TABLE employees (id smallint PRIMARY KEY, name text, boss smallint REFERENCES employees, born date, extension varchar(4));
CREATE TABLE legacy_log (at timestamp, line text);
CREATE TABLE nothing_yet ();

INSERT INTO customers SELECT 'C' || lpad(n::text, 4, '0'), 'Kunde ' || n, NULL, CASE WHEN n % 50 = 0 THEN lo_from_bytea(100000 + n, convert_to(repeat('photo', n), 'UTF8')) END, xmlparse(CONTENT '<n>' || n || '</n>') FROM generate_series(1, 300) AS n;
INSERT INTO employees SELECT n, 'E' || n, NULLIF(n / 3, 0), date '1970-01-01' - n, n FROM generate_series(1, 40) AS n;
INSERT INTO products SELECT n, 'Ware ' || n, (n * 1.25)::numeric::money, n % 8, CASE WHEN n % 9 = 0 THEN B'1' ELSE B'0' END, 4000000000000 + n FROM generate_series(1, 80) AS n;
INSERT INTO orders SELECT n, 'C' || lpad((1 + n % 320)::text, 4, '0'), CASE WHEN n % 100 = 0 THEN 'infinity' ELSE date '1996-07-04' + n END, timestamp '1996-07-10' + n * interval '1 day', (n % 300) / 7.0, NULL FROM generate_series(1, 4000) AS n;
INSERT INTO "Order Details" SELECT 1 + n % 4000, 1 + (n / 53) % 80, n / 3.0, n % 50, CASE WHEN n % 6 = 0 THEN 0.15 ELSE 0 END FROM generate_series(1, 12000) AS n;
INSERT INTO legacy_log SELECT timestamp '4713-01-01 BC' + n * interval '1 year', repeat(chr(32 + n % 90), n) FROM generate_series(1, 500) AS n;
INSERT INTO nothing_yet SELECT FROM generate_series(1, 3);
DELETE FROM legacy_log WHERE length(line) BETWEEN 100 AND 450;
VACUUM legacy_log;

-- Some customers of old orders are gone: the key holds from now on.
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customers NOT VALID;
ALTER TABLE "Order Details" ADD CONSTRAINT "PK_Order Details" PRIMARY KEY ("OrderID", "ProductID") DEFERRABLE;
ALTER TABLE "Order Details" ADD FOREIGN KEY ("OrderID") REFERENCES orders, ADD FOREIGN KEY ("ProductID") REFERENCES products,
    ADD CONSTRAINT "CK_Discount" CHECK ("Discount" BETWEEN 0 AND 1 OR "Quantity" IS NULL);
ALTER TABLE products ADD COLUMN shelf text DEFAULT 'A', DROP COLUMN category;
CREATE VIEW "Order Subtotals" AS SELECT "OrderID", sum("UnitPrice" * "Quantity" * (1 - "Discount"))::numeric(12, 2) AS "Subtotal" FROM "Order Details" GROUP BY 1;
CREATE VIEW "Quarterly Orders" AS SELECT DISTINCT c.id, c.name FROM customers AS c RIGHT JOIN orders AS o ON c.id = o.customer WHERE o.placed BETWEEN '1997-01-01' AND '1997-12-31';
CREATE RECURSIVE VIEW chain(id, name, depth) AS SELECT id, name, 0 FROM employees WHERE boss IS NULL UNION ALL SELECT e.id, e.name, depth + 1 FROM employees AS e JOIN chain ON e.boss = chain.id;
CREATE FUNCTION sales_by_year(since date, until date DEFAULT 'infinity') RETURNS TABLE (year int, total numeric) STABLE LANGUAGE sql AS $$
    SELECT extract(year FROM o.placed)::int, sum(s."Subtotal") FROM public.orders AS o JOIN public."Order Subtotals" AS s USING ("OrderID")
    WHERE o.placed BETWEEN since AND until AND isfinite(o.placed) GROUP BY 1 $$;
CREATE MATERIALIZED VIEW best_sellers AS SELECT p."ProductID", p.name, count(*) AS n FROM products AS p JOIN "Order Details" USING ("ProductID") GROUP BY p."ProductID";
CREATE FUNCTION refuse_everything() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the log is closed'; END $$;
CREATE TRIGGER closed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON legacy_log EXECUTE FUNCTION refuse_everything();
CREATE TRIGGER closed_too BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW."OrderID" < 4000) EXECUTE FUNCTION refuse_everything();
ALTER TABLE orders DISABLE TRIGGER closed_too;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET "DateStyle" = ''German, DMY''', current_database());
            EXECUTE format('ALTER DATABASE %I SET "IntervalStyle" = iso_8601', current_database());
            EXECUTE format('ALTER DATABASE %I SET lc_monetary = ''C''', current_database()); END $$;

RESET ROLE;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'seen'; END $$;
CREATE EVENT TRIGGER watches ON sql_drop EXECUTE FUNCTION watch();
CREATE SUBSCRIPTION branch CONNECTION 'host=nowhere.invalid dbname=x' PUBLICATION p WITH (connect = false, slot_name = 'branch_slot');
CREATE PUBLICATION all_of_it FOR ALL TABLES;
GRANT SELECT ON LARGE OBJECT 100050, 100100, 100150, 100200, 100250, 100300 TO sample_reader;
