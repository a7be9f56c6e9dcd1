-- Which version of each row the catalogs have: no definition, role, right or setting changes without one that is new.
SELECT t.name, (SELECT count(*) || ' ' || coalesce(sum(hashtextextended(x.version, 0)), 0)
                FROM xmltable('/table/row' PASSING query_to_xml(
                    format('SELECT ctid::text || xmin::text AS version FROM pg_catalog.%I', t.name), false, false, '')
                    COLUMNS version text PATH 'version') AS x)
FROM unnest('{pg_class,pg_attribute,pg_attrdef,pg_proc,pg_type,pg_trigger,pg_constraint,pg_index,pg_namespace,pg_rewrite,
    pg_operator,pg_cast,pg_extension,pg_language,pg_foreign_server,pg_event_trigger,pg_publication,pg_policy,pg_default_acl,
    pg_largeobject_metadata,pg_description}'::text[]) AS t (name)
ORDER BY 1;
