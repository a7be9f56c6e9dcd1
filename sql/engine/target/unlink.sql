-- Removes large objects, as many as their locks have room for; answers how many.
SELECT pg_catalog.count(pg_catalog.lo_unlink(l.oid))
FROM (SELECT m.oid FROM pg_catalog.pg_largeobject_metadata AS m LIMIT 1000) AS l
