-- Types: enums (labels in order, never `enumsortorder`), composites, domains, ranges, base types.
SELECT w.kind, pg_catalog.format('%s %I.%I', w.kind, n.nspname, t.typname), NULL::pg_catalog.text,
    CASE t.typtype
    WHEN 'e' THEN (SELECT 'enum' || COALESCE(pg_catalog.string_agg(E'\nlabel ' || pg_catalog.quote_literal(e.enumlabel), '' ORDER BY e.enumsortorder), '')
                   FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid)
    WHEN 'c' THEN (SELECT 'composite' || COALESCE(pg_catalog.string_agg(pg_catalog.format(E'\nfield %I %s%s', a.attname,
                        pg_catalog.format_type(a.atttypid, a.atttypmod),
                        CASE WHEN a.attcollation <> ft.typcollation
                             THEN ' collate ' || NULLIF(a.attcollation, 0)::pg_catalog.regcollation::pg_catalog.text END),
                        '' ORDER BY a.attnum), '')
                   FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS ft ON ft.oid = a.atttypid
                   WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
    WHEN 'd' THEN pg_catalog.concat_ws(E'\n',
        pg_catalog.format_type(t.typbasetype, t.typtypmod),
        CASE WHEN t.typcollation <> b.typcollation
             THEN 'collate ' || NULLIF(t.typcollation, 0)::pg_catalog.regcollation::pg_catalog.text END,
        CASE WHEN t.typnotnull THEN 'not null' END,
        'default ' || t.typdefault,
        (SELECT pg_catalog.string_agg(pg_catalog.format('constraint %I %s', k.conname, pg_catalog.pg_get_constraintdef(k.oid)),
                    E'\n' ORDER BY k.conname)
         FROM pg_catalog.pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'c'))
    WHEN 'r' THEN (SELECT pg_catalog.concat_ws(E'\n', 'range of ' || pg_catalog.format_type(r.rngsubtype, NULL),
                        'multirange ' || pg_catalog.format_type(r.rngmultitypid, NULL),
                        'collate ' || NULLIF(r.rngcollation, 0)::pg_catalog.regcollation::pg_catalog.text,
                        'operator class ' || pg_catalog.format('%I.%I', ocn.nspname, oc.opcname),
                        'canonical ' || r.rngcanonical::pg_catalog.text, 'difference ' || r.rngsubdiff::pg_catalog.text)
                   FROM pg_catalog.pg_range AS r
                   JOIN pg_catalog.pg_opclass AS oc ON oc.oid = r.rngsubopc
                   JOIN pg_catalog.pg_namespace AS ocn ON ocn.oid = oc.opcnamespace
                   WHERE r.rngtypid = t.oid)
    WHEN 'b' THEN pg_catalog.concat_ws(E'\n', 'base', 'input ' || t.typinput::pg_catalog.text, 'output ' || t.typoutput::pg_catalog.text,
        'receive ' || t.typreceive::pg_catalog.text, 'send ' || t.typsend::pg_catalog.text, 'length ' || t.typlen,
        'default ' || t.typdefault, pg_catalog.format('%s %s %s %s %s', t.typalign, t.typstorage, t.typcategory, t.typispreferred, t.typdelim))
    ELSE 'shell' END
FROM pg_catalog.pg_type AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
LEFT JOIN pg_catalog.pg_type AS b ON b.oid = t.typbasetype
CROSS JOIN LATERAL (SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END AS kind) AS w
WHERE t.typtype <> 'm' AND (c.oid IS NULL OR c.relkind = 'c')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.oid = t.typelem AND e.typarray = t.oid)
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e')
