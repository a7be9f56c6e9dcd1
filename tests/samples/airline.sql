-- An airline's bookings: ranges and exclusion constraints, inheritance, rules, row level security, several schemas.
CREATE EXTENSION btree_gist;
CREATE SCHEMA plan_of_flights;
CREATE SCHEMA "Sales";
SET search_path = plan_of_flights, "Sales", public;

CREATE COLLATION by_code (provider = libc, locale = 'C');
CREATE DOMAIN airport_code AS char(3) COLLATE by_code CHECK (value = upper(value));
CREATE TYPE seat_class AS ENUM ('economy', 'business');
ALTER TYPE seat_class ADD VALUE 'comfort' BEFORE 'business';
CREATE TYPE fare_range AS RANGE (subtype = numeric, multirange_type_name = fare_ranges);
CREATE TYPE name_of AS (first text, last text);

CREATE TABLE airport (code airport_code PRIMARY KEY, name jsonb NOT NULL, at point, zone text NOT NULL DEFAULT 'UTC');
CREATE TABLE aircraft (code char(3) PRIMARY KEY, model text NOT NULL, reach int CHECK (reach > 0));
CREATE TABLE seat (aircraft char(3) REFERENCES aircraft ON DELETE CASCADE, no varchar(4), class seat_class NOT NULL, PRIMARY KEY (aircraft, no));
CREATE TABLE gate (airport airport_code REFERENCES airport, gate text, PRIMARY KEY (airport, gate));
CREATE TABLE flight (
    flight_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    no        char(6) NOT NULL,
    origin    airport_code NOT NULL REFERENCES airport,
    target    airport_code NOT NULL REFERENCES airport,
    aircraft  char(3) NOT NULL REFERENCES aircraft,
    scheduled tstzrange NOT NULL,
    gate      text,
    at_gate   tstzrange,
    CHECK (origin <> target),
    CONSTRAINT one_aircraft_at_a_gate EXCLUDE USING gist (origin WITH =, gate WITH =, at_gate WITH &&),
    FOREIGN KEY (origin, gate) REFERENCES gate (airport, gate)
);
CREATE TABLE timetable (no char(6), days int[], at timetz, valid datemultirange, stops airport_code[], prices fare_ranges);
CREATE VIEW flights_local AS
SELECT f.*, lower(f.scheduled) AT TIME ZONE a.zone AS departs FROM flight AS f JOIN airport AS a ON a.code = f.origin;

CREATE TABLE "Sales".booking (ref char(6) PRIMARY KEY, at timestamptz NOT NULL, total numeric(10, 2) NOT NULL);
CREATE TABLE "Sales".ticket (no char(13), ref char(6) NOT NULL REFERENCES "Sales".booking, who name_of NOT NULL, contact json)
    PARTITION BY HASH (no);
CREATE TABLE "Sales".ticket_0 PARTITION OF "Sales".ticket FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE "Sales".ticket_1 PARTITION OF "Sales".ticket FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE "Sales".ticket_2 PARTITION OF "Sales".ticket FOR VALUES WITH (MODULUS 3, REMAINDER 2);
ALTER TABLE "Sales".ticket ADD PRIMARY KEY (no);
CREATE TABLE "Sales"."Leg" (no char(13) REFERENCES "Sales".ticket, flight int REFERENCES flight, class seat_class, fare numeric(10, 2), PRIMARY KEY (no, flight));
CREATE TABLE "Sales"."boarding Pass" (no char(13), flight int, seat varchar(4), UNIQUE (flight, seat) DEFERRABLE,
                                      FOREIGN KEY (no, flight) REFERENCES "Sales"."Leg");
CREATE TABLE "Sales".audit (id bigserial, at timestamptz DEFAULT '2026-01-01 00:00+00', what text);
CREATE TABLE "Sales".audit_of_refunds (amount numeric) INHERITS ("Sales".audit);
CREATE UNLOGGED TABLE "Sales".basket (id uuid DEFAULT gen_random_uuid(), what jsonb);

INSERT INTO airport SELECT chr(65 + n / 26) || chr(65 + n % 26) || 'X', jsonb_build_object('en', 'Airport ' || n, 'ru', 'Аэропорт ' || n), point(n, n), 'Europe/Berlin' FROM generate_series(0, 50) AS n;
INSERT INTO aircraft SELECT lpad(n::text, 3, '0'), 'Model ' || n, 1000 * n FROM generate_series(1, 9) AS n;
INSERT INTO seat SELECT a.code, n || l, CASE WHEN n < 3 THEN 'business' WHEN n < 6 THEN 'comfort' ELSE 'economy' END::seat_class FROM aircraft AS a, generate_series(1, 30) AS n, unnest('{A,B,C,D}'::text[]) AS l;
INSERT INTO gate SELECT code, 'G' || n FROM airport, generate_series(1, 4) AS n;
INSERT INTO flight (no, origin, target, aircraft, scheduled, gate, at_gate)
SELECT 'PG' || lpad((n % 500)::text, 4, '0'), chr(65 + (n % 50) / 26) || chr(65 + (n % 50) % 26) || 'X', 'BYX', lpad((1 + n % 9)::text, 3, '0'),
       tstzrange(timestamptz '2026-03-01 00:00+00' + n * interval '1 hour', timestamptz '2026-03-01 03:00+00' + n * interval '1 hour'),
       CASE WHEN n % 3 = 0 THEN 'G' || 1 + n % 4 END, tstzrange(timestamptz '2026-03-01 00:00+00' + n * interval '1 hour', timestamptz '2026-03-01 00:40+00' + n * interval '1 hour')
FROM generate_series(1, 2000) AS n WHERE n % 50 <> 50;
INSERT INTO timetable VALUES ('PG0001', '{1,2,7}', '12:30+05:30', '{[2026-01-01,2026-03-01),[2026-06-01,)}', '{AAX,NULL,ABX}', '{[1.50,20),(20,]}');
INSERT INTO "Sales".booking SELECT lpad(to_hex(n), 6, '0'), timestamptz '2026-01-01 00:00+00' + n * interval '5 minutes', n % 1000 FROM generate_series(1, 2000) AS n;
INSERT INTO "Sales".ticket SELECT lpad(n::text, 13, '0'), lpad(to_hex(1 + n % 2000), 6, '0'), ROW('Ана' || n, CASE WHEN n % 5 > 0 THEN 'O''Neil, "' || n || '"' END)::name_of, '{"phone": "1"}' FROM generate_series(1, 3000) AS n;
INSERT INTO "Sales"."Leg" SELECT lpad(n::text, 13, '0'), 1 + (n * 7) % 1900, (enum_range(NULL::seat_class))[1 + n % 3], n % 777 FROM generate_series(1, 3000) AS n;
INSERT INTO "Sales"."boarding Pass" SELECT no, flight, (row_number() OVER (PARTITION BY flight ORDER BY no)) || 'A' FROM "Sales"."Leg" WHERE flight % 2 = 0;
INSERT INTO "Sales".audit (what) VALUES ('plain'), (NULL);
INSERT INTO "Sales".audit_of_refunds (what, amount) VALUES ('refund', 1.00), ('refund', 'NaN');
INSERT INTO "Sales".basket (what) VALUES ('[]');

CREATE RULE no_deletes AS ON DELETE TO "Sales".booking DO INSTEAD INSERT INTO "Sales".audit (what) VALUES ('tried to delete ' || OLD.ref);
CREATE FUNCTION "Sales".check_total() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.total < 0 THEN RAISE 'less than nothing' USING ERRCODE = 'check_violation'; END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER total_is_checked AFTER INSERT OR UPDATE ON "Sales".booking DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.total IS NOT NULL) EXECUTE FUNCTION "Sales".check_total();
ALTER TABLE "Sales".ticket ENABLE ROW LEVEL SECURITY;
CREATE POLICY agents ON "Sales".ticket FOR SELECT TO engine_reader USING (ref < '000100');
ALTER DEFAULT PRIVILEGES IN SCHEMA "Sales" GRANT SELECT ON TABLES TO engine_reader;
CREATE PUBLICATION bookings FOR TABLE "Sales".booking, "Sales"."Leg";
COMMENT ON SCHEMA "Sales" IS 'what is sold';
