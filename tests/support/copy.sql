-- Copies the database :template as :copy. CREATE DATABASE copies what is in it; who owns it, who may do what with
-- it and what is set for it are told by hand.
SELECT format('CREATE DATABASE %I TEMPLATE %I OWNER %I', :'copy', :'template', pg_get_userbyid(datdba))
FROM pg_database WHERE datname = :'template'
\gexec

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'copy')
FROM pg_database WHERE datname = :'template' AND datacl IS NOT NULL
\gexec

SELECT format('GRANT %s ON DATABASE %I TO %s%s', privilege_type, :'copy',
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_database, aclexplode(datacl)
WHERE datname = :'template' AND grantee <> datdba
\gexec

SELECT format('ALTER %sDATABASE %I SET %s TO %L',
              CASE setrole WHEN 0 THEN '' ELSE format('ROLE %I IN ', pg_get_userbyid(setrole)) END,
              :'copy', split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1))
FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase, unnest(s.setconfig) AS setting
WHERE d.datname = :'template'
\gexec
