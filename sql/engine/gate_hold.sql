SELECT coalesce(pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('engine_gate.hold()')::pg_catalog.oid, 'EXECUTE'), false)
