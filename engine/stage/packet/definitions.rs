//! What a packet without `alters` must leave alone, in `apply.sql`: files of tables, and definitions.

use super::apply_sql::{BOUND_STATE, Sealing, block, judging_nothing, quoted};
use crate::event::Failure;

/// Which file every table has: TRUNCATE, a rewrite, CREATE and DROP show there and in no row counter.
const FILES: &str = "SELECT c.oid::pg_catalog.int8 AS id,
               CASE WHEN rt.oid IS NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname)
                    ELSE pg_catalog.format('%I.%I', rn.nspname, rt.relname) END AS name,
               coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)::pg_catalog.int8 AS file
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_class AS rt ON c.relispartition AND rt.oid = pg_catalog.pg_partition_root(c.oid)
        LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = rt.relnamespace
        WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

pub(super) fn keep_files() -> String {
    block(&format!(
        "    PERFORM pg_catalog.set_config('engine_reading.files', (SELECT coalesce(pg_catalog.jsonb_object_agg(k.id, pg_catalog.jsonb_build_array(k.name, k.file)), '{{}}')::pg_catalog.text\n        FROM ({FILES}) AS k), true);\n"
    ))
}

/// At the end: no table was truncated, rewritten, made or dropped, and no definition changed, but as declared.
/// With `alters` definitions may change; which ones was measured on the clone, and the engine measures it again.
pub(super) fn undeclared(sealing: &Sealing<'_>) -> Result<String, Failure> {
    if sealing.alters {
        return Ok(String::new());
    }
    let any: Vec<String> = sealing
        .bounds
        .values()
        .flatten()
        .filter(|(_, _, most)| most.is_none())
        .map(|(_, table, _)| quoted(table))
        .collect::<Result<_, _>>()?;
    let declared = if any.is_empty() { "''".to_owned() } else { any.join(", ") };
    let pg_class = if any.is_empty() { "''" } else { "'pg_class'" };
    let message = quoted("the packet changed files or definitions that it does not declare: ")?;
    let body = format!(
        "    SELECT pg_catalog.string_agg(d.name, ', ') INTO engine_seen FROM (\n        \
         SELECT coalesce(k.name, b.value ->> 0) AS name\n        FROM ({FILES}) AS k\n        \
         FULL JOIN pg_catalog.jsonb_each(current_setting('engine_reading.files')::pg_catalog.jsonb) AS b ON b.key = k.id::pg_catalog.text\n        \
         WHERE (b.value ->> 1)::pg_catalog.int8 IS DISTINCT FROM k.file\n        \
         UNION ALL\n        \
         SELECT c.relname FROM pg_catalog.pg_class AS c\n        \
         WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND c.relkind = 'r'\n          \
         AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', {pg_class})\n          \
         AND pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)\n              \
         + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) > 0\n    ) AS d\n    WHERE d.name NOT IN ({declared});\n    \
         IF engine_seen IS NOT NULL THEN\n        RAISE EXCEPTION USING ERRCODE = '{BOUND_STATE}', MESSAGE = {message} || engine_seen;\n    END IF;\n"
    );
    Ok(judging_nothing(&body))
}
