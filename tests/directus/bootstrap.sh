#!/usr/bin/env bash
# Bootstraps a real Directus into a PostgreSQL database, so that sql/sample/ can be loaded on top of it.
#
#   DATABASE_URL=postgresql://directus@localhost/directus tests/directus/bootstrap.sh
#
# A server that listens on a socket only: postgresql://directus@/directus?host=%2Fpath%2Fof%2Fthe%2Fsocket
# The role in the URL should be `directus`: it then owns Directus's tables as it owns the sample's.
# A password is given as PGPASSWORD. Needs node (18 to 22), npm and psql. npm's usual configuration says where packages come from.
#
#   DIRECTUS_VERSION   which version of the npm package (default: the last that runs on node 18 to 22)
#   DIRECTUS_HOME      a folder to install into and keep; default: a temporary one, removed at the end
#
# Afterwards: psql -X -v ON_ERROR_STOP=1 -f each of sql/sample/*.sql, in order of their names, as superuser.
set -euo pipefail

: "${DATABASE_URL:?set DATABASE_URL to the database to bootstrap}"
version=${DIRECTUS_VERSION:-10.13.4}

# `directus bootstrap` skips what it finds done; into anything else than a database without Directus it must not go.
if [ "$(psql -X -At -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -c "SELECT to_regclass('public.directus_users') IS NOT NULL")" != f ]; then
    echo "bootstrap.sh: this database already holds a Directus" >&2
    exit 1
fi

if [ -n "${DIRECTUS_HOME:-}" ]; then
    home=$DIRECTUS_HOME
    mkdir -p "$home"
else
    home=$(mktemp -d "${TMPDIR:-/tmp}/directus.XXXXXX")
    trap 'rm -rf "$home"' EXIT
fi
cd "$home"

# The marker is written last: an interrupted install is done again.
if [ "$(cat installed 2>/dev/null || true)" != "$version" ]; then
    rm -f installed
    printf '{"private": true, "name": "directus-under-test", "version": "0.0.0"}\n' > package.json
    npm install --no-audit --no-fund --no-progress --loglevel=error "directus@$version"
    printf '%s\n' "$version" > installed
fi

# Made up here and worth nothing: nobody ever logs in, nothing is served, the database is thrown away.
random() { node -e 'console.log(require("node:crypto").randomBytes(24).toString("hex"))'; }
export KEY SECRET ADMIN_PASSWORD
KEY=$(random) SECRET=$(random) ADMIN_PASSWORD=$(random)
export ADMIN_EMAIL=admin@example.org

# Only the database; no cache, no mail, no telemetry. (Directus still asks the registry for a newer version.)
# Host (a folder means a socket), port, name and user as psql understands the URL; the password is PGPASSWORD.
{ read -r DB_HOST; read -r DB_PORT; read -r DB_DATABASE; read -r DB_USER; } < <(
    psql -X -q -v ON_ERROR_STOP=1 -d "$DATABASE_URL" <<'PSQL'
\echo :HOST
\echo :PORT
\echo :DBNAME
\echo :USER
PSQL
)
export DB_CLIENT=pg DB_HOST DB_PORT DB_DATABASE DB_USER DB_PASSWORD="${PGPASSWORD:-}"
export TELEMETRY=false CACHE_ENABLED=false RATE_LIMITER_ENABLED=false LOG_LEVEL=warn
export STORAGE_LOCATIONS=local STORAGE_LOCAL_ROOT="$home/uploads" EXTENSIONS_PATH="$home/extensions"
mkdir -p "$STORAGE_LOCAL_ROOT" "$EXTENSIONS_PATH"

npx --no-install directus bootstrap

psql -X -At -v ON_ERROR_STOP=1 -d "$DATABASE_URL" <<'SQL'
SELECT 'directus tables: ' || count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'directus\_%';
SELECT 'directus migrations: ' || count(*) FROM public.directus_migrations;
SQL
