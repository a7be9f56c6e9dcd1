-- Collations, conversions, text search, languages, access methods.
SELECT o.kind, o.kind || ' ' || o.name, NULL::pg_catalog.text, o.definition
FROM (
    SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass::pg_catalog.oid AS classid, l.oid, 'collation' AS kind,
        pg_catalog.format('%I.%I', n.nspname, l.collname) AS name, n.nspname,
        (SELECT pg_catalog.string_agg(e.key || ' ' || e.value, E'\n' ORDER BY e.key COLLATE "C")
         FROM pg_catalog.jsonb_each_text(pg_catalog.to_jsonb(l)) AS e
         WHERE e.value IS NOT NULL AND e.key NOT IN ('oid', 'collname', 'collnamespace', 'collowner', 'collversion')) AS definition
    FROM pg_catalog.pg_collation AS l JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_conversion'::pg_catalog.regclass, v.oid, 'conversion', pg_catalog.format('%I.%I', n.nspname, v.conname), n.nspname,
        pg_catalog.format('%s to %s by %s default %s', v.conforencoding, v.contoencoding, v.conproc, v.condefault)
    FROM pg_catalog.pg_conversion AS v JOIN pg_catalog.pg_namespace AS n ON n.oid = v.connamespace
    UNION ALL
    SELECT 'pg_catalog.pg_ts_config'::pg_catalog.regclass, g.oid, 'text search configuration',
        pg_catalog.format('%I.%I', n.nspname, g.cfgname), n.nspname,
        'parser ' || pg_catalog.format('%I.%I', pn.nspname, p.prsname) || COALESCE((
            SELECT pg_catalog.string_agg(pg_catalog.format(E'\ntoken %s %s %s', m.maptokentype, m.mapseqno,
                m.mapdict::pg_catalog.regdictionary), '' ORDER BY m.maptokentype, m.mapseqno)
            FROM pg_catalog.pg_ts_config_map AS m WHERE m.mapcfg = g.oid), '')
    FROM pg_catalog.pg_ts_config AS g JOIN pg_catalog.pg_namespace AS n ON n.oid = g.cfgnamespace
    JOIN pg_catalog.pg_ts_parser AS p ON p.oid = g.cfgparser JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.prsnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, g.oid, 'text search dictionary',
        pg_catalog.format('%I.%I', n.nspname, g.dictname), n.nspname,
        pg_catalog.format('template %I.%I %s', tn.nspname, t.tmplname, g.dictinitoption)
    FROM pg_catalog.pg_ts_dict AS g JOIN pg_catalog.pg_namespace AS n ON n.oid = g.dictnamespace
    JOIN pg_catalog.pg_ts_template AS t ON t.oid = g.dicttemplate JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.tmplnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_ts_parser'::pg_catalog.regclass, g.oid, 'text search parser', pg_catalog.format('%I.%I', n.nspname, g.prsname), n.nspname,
        pg_catalog.format('%s %s %s', g.prsstart, g.prstoken, g.prsend)
    FROM pg_catalog.pg_ts_parser AS g JOIN pg_catalog.pg_namespace AS n ON n.oid = g.prsnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_ts_template'::pg_catalog.regclass, g.oid, 'text search template', pg_catalog.format('%I.%I', n.nspname, g.tmplname), n.nspname,
        pg_catalog.format('%s %s', g.tmplinit, g.tmpllexize)
    FROM pg_catalog.pg_ts_template AS g JOIN pg_catalog.pg_namespace AS n ON n.oid = g.tmplnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, l.oid, 'language', pg_catalog.quote_ident(l.lanname), '',
        pg_catalog.format('trusted %s handler %s', l.lanpltrusted, NULLIF(l.lanplcallfoid, 0)::pg_catalog.regprocedure)
    FROM pg_catalog.pg_language AS l WHERE l.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_am'::pg_catalog.regclass, a.oid, 'access method', pg_catalog.quote_ident(a.amname), '',
        pg_catalog.format('%s %s', a.amtype, a.amhandler)
    FROM pg_catalog.pg_am AS a WHERE a.oid >= 16384
) AS o
WHERE o.nspname !~ '^pg_' AND o.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e')
