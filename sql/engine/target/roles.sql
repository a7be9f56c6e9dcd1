-- Which of the roles named are there, and the powers that restoring and verifying need. $2: the role that restores.
SELECT r.rolname::pg_catalog.text, r.rolsuper, r.rolsuper OR r.rolbypassrls AS passes,
    pg_catalog.pg_has_role($2::pg_catalog.name, r.oid, 'MEMBER') AS ours
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = ANY ($1::pg_catalog.text[])
