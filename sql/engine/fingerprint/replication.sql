-- Publications with their members sorted, subscriptions without their connection, event triggers.
SELECT 'publication', 'publication ' || pg_catalog.quote_ident(p.pubname), NULL::pg_catalog.text,
    pg_catalog.concat_ws(E'\n',
        (SELECT pg_catalog.string_agg(e.key || ' ' || e.value, E'\n' ORDER BY e.key COLLATE "C")
         FROM pg_catalog.jsonb_each_text(pg_catalog.to_jsonb(p)) AS e WHERE e.key NOT IN ('oid', 'pubname', 'pubowner') AND (e.key, e.value) <> ('pubgencols', 'n')),
        (SELECT pg_catalog.string_agg(w.line, E'\n' ORDER BY w.line COLLATE "C")
         FROM pg_catalog.pg_publication_rel AS r
         CROSS JOIN LATERAL (SELECT pg_catalog.concat_ws(' ', 'table', r.prrelid::pg_catalog.regclass,
            (SELECT '(' || pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attname COLLATE "C") || ')'
             FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)),
            'where ' || pg_catalog.pg_get_expr(r.prqual, r.prrelid)) AS line) AS w
         WHERE r.prpubid = p.oid),
        (SELECT pg_catalog.string_agg('schema ' || pg_catalog.quote_ident(n.nspname), E'\n' ORDER BY n.nspname)
         FROM pg_catalog.pg_publication_namespace AS g JOIN pg_catalog.pg_namespace AS n ON n.oid = g.pnnspid
         WHERE g.pnpubid = p.oid))
FROM pg_catalog.pg_publication AS p
UNION ALL
SELECT 'subscription', 'subscription ' || pg_catalog.quote_ident(s.subname), NULL,
    pg_catalog.format(E'enabled %s\npublications %s', s.subenabled, s.subpublications)
FROM pg_catalog.pg_subscription AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
WHERE d.datname = pg_catalog.current_database()
UNION ALL
SELECT 'event trigger', 'event trigger ' || pg_catalog.quote_ident(e.evtname), NULL,
    pg_catalog.concat_ws(E'\n', 'on ' || e.evtevent, 'tags ' || pg_catalog.array_to_string(e.evttags, ', '),
        'calls ' || e.evtfoid::pg_catalog.regprocedure::pg_catalog.text, 'state ' || e.evtenabled::pg_catalog.text)
FROM pg_catalog.pg_event_trigger AS e
