#!/usr/bin/env bash
# The pipeline A to G on a database that Directus itself created, with the sample overlaid. Runs inside
# `engine sandbox --`: make directus. Needs node and npm; installs the npm package directus into a temporary folder.
set -euo pipefail
engine="${1:?the engine program}"
here="$(cd "$(dirname "$0")" && pwd)"
superuser="${ENGINE_SANDBOX_SUPERUSER_URL:?run this inside: engine sandbox --}"

# The sandbox holds the plain sample as `directus`; here Directus makes that database itself.
maintenance="${superuser%/*}/postgres"
psql -X -q -v ON_ERROR_STOP=1 -d "$maintenance" -c 'DROP DATABASE directus' -c 'CREATE DATABASE directus OWNER directus'
socket="${superuser#*@}"
DATABASE_URL="postgresql://directus@/directus?host=${socket%/*}" "$here/bootstrap.sh"
for file in "$here"/../../sql/sample/*.sql; do
    psql -X -q -v ON_ERROR_STOP=1 -d "$superuser" -f "$file"
done
psql -X -At -d "$superuser" -c "SELECT count(*) || ' tables of Directus beside the sample' FROM pg_tables WHERE tablename LIKE 'directus%'"
"$engine" apply plans/clone_a_to_g.toml --replace
