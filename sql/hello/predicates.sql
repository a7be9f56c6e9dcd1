-- Probes and predicates of hello, as sent.

-- probe.tables on local
SELECT count(*) FROM pg_catalog.pg_tables;

-- stage.look.ensure.something_there
SELECT tables >= 1;
