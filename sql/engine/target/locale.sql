-- Was this server built with ICU, and which version has the collation of provider $1, libc name $2, locale $3?
SELECT EXISTS (SELECT FROM pg_catalog.pg_collation AS c
               -- A build without ICU lists some of its collations too, and knows no version of them.
               WHERE c.collprovider = 'i' AND pg_catalog.pg_collation_actual_version(c.oid) IS NOT NULL) AS icu,
    coalesce((SELECT pg_catalog.pg_database_collation_actual_version(d.oid)
              FROM pg_catalog.pg_database AS d, pg_catalog.to_jsonb(d) AS j (all_of_it)
              WHERE d.datlocprovider::pg_catalog.text = $1 AND d.datcollate = $2
                AND coalesce(j.all_of_it ->> 'datlocale', j.all_of_it ->> 'daticulocale', '') = coalesce($3, '')
              LIMIT 1),
             (SELECT pg_catalog.pg_collation_actual_version(c.oid)
              FROM pg_catalog.pg_collation AS c, pg_catalog.to_jsonb(c) AS j (all_of_it)
              WHERE c.collprovider::pg_catalog.text = $1
                AND CASE $1 WHEN 'c' THEN c.collcollate = $2
                    ELSE coalesce(j.all_of_it ->> 'colllocale', j.all_of_it ->> 'colliculocale') = $3 END
              LIMIT 1)) AS version
