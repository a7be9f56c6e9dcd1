-- The shared journal, format 1, made at its first use; docs/journal.md says what is in it. Nothing here is ever changed
-- or taken away: what an engine appends, and the chain within the lines, are all there is.

CREATE SCHEMA engine_journal;

CREATE TABLE engine_journal.format (version integer PRIMARY KEY);
INSERT INTO engine_journal.format VALUES (1);

CREATE TABLE engine_journal.run (
    run text PRIMARY KEY CHECK (run OPERATOR(pg_catalog.~) '^[A-Za-z0-9_-]+$'),
    begun timestamp with time zone NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- A line as it would stand in journal.jsonl, without its newline. `prev` and `hash` say again what the chain says, so
-- that two lines can never follow the same one. `server`: system identifier, timeline and database oid of who took it.
CREATE TABLE engine_journal.line (
    run text NOT NULL,
    seq bigint NOT NULL,
    prev text NOT NULL,
    hash text NOT NULL,
    line bytea NOT NULL,
    server text NOT NULL,
    PRIMARY KEY (run, seq),
    UNIQUE (run, prev)
);

-- Files of a run's folder. The last number of a path counts; without bytes the file is gone.
CREATE TABLE engine_journal.file (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL,
    path text NOT NULL,
    sha256 text,
    bytes bytea,
    CHECK ((sha256 IS NULL) OPERATOR(pg_catalog.=) (bytes IS NULL))
);
CREATE INDEX ON engine_journal.file (run, path, number);

-- Sealed packets: the id is the digest of their SHA256SUMS, which holds the digests of all other files.
CREATE TABLE engine_journal.packet (
    id text PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    run text NOT NULL,
    sealed timestamp with time zone NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE TABLE engine_journal.packet_file (
    id text NOT NULL,
    path text NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (id, path)
);

-- Against accidents: whoever owns the tables can take these triggers off, and then the chain shows what was changed.
CREATE FUNCTION engine_journal.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a journal is only ever appended to: % of engine_journal.% refused', TG_OP, TG_TABLE_NAME;
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON engine_journal.format
    FOR EACH STATEMENT EXECUTE FUNCTION engine_journal.refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON engine_journal.run
    FOR EACH STATEMENT EXECUTE FUNCTION engine_journal.refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON engine_journal.line
    FOR EACH STATEMENT EXECUTE FUNCTION engine_journal.refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON engine_journal.file
    FOR EACH STATEMENT EXECUTE FUNCTION engine_journal.refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON engine_journal.packet
    FOR EACH STATEMENT EXECUTE FUNCTION engine_journal.refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON engine_journal.packet_file
    FOR EACH STATEMENT EXECUTE FUNCTION engine_journal.refuse();
