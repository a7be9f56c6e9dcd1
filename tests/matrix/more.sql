-- What major versions print, name or number differently, beside tests/fingerprints/awkward.sql.
CREATE EXTENSION pgcrypto;
-- A dump has no word for a foreign key's own triggers switched off, and only a superuser may switch them off.
ALTER TABLE fkc ENABLE TRIGGER ALL;
CREATE TABLE shop (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(20) NOT NULL, price numeric NOT NULL
    CHECK (price > 0), at timestamptz NOT NULL DEFAULT now(), CONSTRAINT named CHECK (name <> ''));
INSERT INTO shop (name, price, at) SELECT 'n' || n, n / 7.0, timestamptz '2026-01-01 00:00Z' + n * interval '1 hour'
FROM generate_series(1, 500) AS n;
CREATE TABLE lines (shop int NOT NULL REFERENCES shop, n int NOT NULL, PRIMARY KEY (shop, n));
INSERT INTO lines SELECT 1 + n % 500, n FROM generate_series(1, 2000) AS n;
-- A view over one table: since 16 its columns are printed without the table.
CREATE VIEW cheap AS SELECT s.id, s.name FROM shop AS s WHERE s.price < 10 AND s.name IN ('n1', 'n2');
CREATE VIEW joined AS SELECT s.name, count(*) AS lines FROM shop AS s JOIN lines AS l ON l.shop = s.id GROUP BY s.name;
CREATE VIEW nested AS SELECT q.id FROM (SELECT id, row_number() OVER (ORDER BY price) AS place FROM shop) AS q
WHERE q.place < 10;
CREATE VIEW told AS SELECT s.name, (SELECT max(l.n) FROM lines AS l WHERE l.shop = s.id) AS last FROM shop AS s;
CREATE VIEW clocks AS SELECT at AT TIME ZONE 'UTC' AS there, extract(year FROM at) AS year, now() AS now, current_date AS today,
    coalesce(name, 'x') AS c, nullif(price, 1) AS d, greatest(price, 2) AS e, substring(name FROM 1 FOR 2) AS f,
    position('n' IN name) AS g, trim(both 'n' FROM name) AS h FROM shop;
CREATE VIEW windows AS SELECT name, sum(price) OVER w AS s, rank() OVER (PARTITION BY name ORDER BY price) AS r FROM shop
WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
CREATE MATERIALIZED VIEW dear AS SELECT id, name FROM shop WHERE price > 60;
CREATE INDEX ON dear (id);
CREATE RULE quiet AS ON DELETE TO cheap DO INSTEAD NOTHING;
CREATE RULE through AS ON UPDATE TO cheap DO INSTEAD UPDATE shop SET name = NEW.name WHERE shop.id = OLD.id;
CREATE FUNCTION cheapest(wanted int) RETURNS TABLE (id int, name varchar) LANGUAGE sql STABLE
BEGIN ATOMIC SELECT s.id, s.name FROM shop AS s WHERE s.price < wanted ORDER BY s.price; END;
CREATE POLICY mine ON shop FOR SELECT USING (name IN ('n1', 'n2') OR EXISTS (SELECT FROM lines AS l WHERE l.shop = shop.id));
CREATE STATISTICS shop_stats (dependencies, mcv) ON name, price FROM shop;
CREATE INDEX ON shop ((lower(name)), (price * 2)) INCLUDE (at) WHERE price > 5;
CREATE TRIGGER changed BEFORE UPDATE OF name ON shop FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION tf();
GRANT ALL ON shop, lines TO s_app WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO s_app;
CREATE TABLE heirs (extra text NOT NULL) INHERITS (shop);
INSERT INTO heirs (id, name, price, extra) VALUES (501, 'heir', 1, 'e');
