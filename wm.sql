\timing
select count(*) from pgbench_accounts;
set enable_indexonlyscan=off; set enable_indexscan=off; set enable_bitmapscan=off;
select count(*) from pgbench_accounts;
select count(*), count(*) filter (where (((SELECT pg_catalog.age('1000'::pg_catalog.xid8::pg_catalog.xid))::pg_catalog.int8 - pg_catalog.age(xmin)) & 4294967295) < 2147483648) from only pgbench_accounts;
select count(*), count(*) filter (where pg_catalog.age(xmin) <= (SELECT pg_catalog.age('1000'::pg_catalog.xid8::pg_catalog.xid))) from only pgbench_accounts;
set max_parallel_workers_per_gather=0;
select count(*) from pgbench_accounts;
explain analyze select count(*), count(*) filter (where pg_catalog.age(xmin) <= (SELECT pg_catalog.age('1000'::pg_catalog.xid8::pg_catalog.xid))) from only pgbench_accounts;
