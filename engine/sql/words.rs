//! The lists: settings and functions that are refused, functions that differ from run to run, and what a
//! predicate may use.

/// Settings that carry the engine's frame. Besides these: every `*_timeout`, `default_transaction_*`,
/// `transaction_*`, `tcp_*` and `engine.*`.
const GUARDED: [&str; 15] = [
    "all",
    "backslash_quote",
    "client_connection_check_interval",
    "client_encoding",
    "names",
    "role",
    "row_security",
    "schema",
    "search_path",
    "session_authorization",
    "session_replication_role",
    "standard_conforming_strings",
    "synchronous_commit",
    "track_counts",
    "transaction",
];

/// Functions of the system that only compute; beside what a predicate may call.
const COMPUTES: [&str; 33] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "concat",
    "count",
    "current_setting",
    "date_trunc",
    "every",
    "format",
    "generate_series",
    "json_agg",
    "jsonb_agg",
    "jsonb_build_object",
    "left",
    "lpad",
    "max",
    "md5",
    "min",
    "now",
    "power",
    "random",
    "rank",
    "replace",
    "right",
    "row_number",
    "rpad",
    "split_part",
    "string_agg",
    "sum",
    "to_char",
    "to_jsonb",
    "unnest",
];

/// Does this function (folded, without its schema) lock no table?
pub(super) fn locks_nothing(function: &str) -> bool {
    COMPUTES.contains(&function) || PURE.contains(&function)
}

/// Is this setting (folded) the engine's to set?
pub(super) fn is_guarded(setting: &str) -> bool {
    let bare = setting.trim();
    GUARDED.contains(&bare)
        || bare.ends_with("_timeout")
        || ["default_transaction_", "transaction_", "tcp_", "engine.", "u&"].iter().any(|p| bare.starts_with(p))
}

/// Why a function (folded, without its schema) is refused: it acts outside this database's transaction.
pub(super) fn reaches_outside(function: &str) -> Option<&'static str> {
    match function {
        f if f.starts_with("dblink") => Some("it opens a connection of its own"),
        "pg_read_file"
        | "pg_read_binary_file"
        | "pg_stat_file"
        | "pg_ls_dir"
        | "pg_file_write"
        | "pg_file_rename"
        | "pg_file_unlink"
        | "pg_file_sync"
        | "lo_import"
        | "lo_export" => Some("it reaches the server's files"),
        "pg_terminate_backend" | "pg_cancel_backend" | "pg_reload_conf" | "pg_rotate_logfile" | "pg_promote" => {
            Some("it acts on the whole server")
        }
        "pg_switch_wal"
        | "pg_create_restore_point"
        | "pg_backup_start"
        | "pg_backup_stop"
        | "pg_wal_replay_pause"
        | "pg_wal_replay_resume"
        | "pg_logical_emit_message" => Some("it writes to the server's log of changes"),
        f if f.starts_with("pg_create_") && f.ends_with("_slot") => Some("a replication slot outlives the transaction"),
        f if f.starts_with("pg_copy_") && f.ends_with("_slot") => Some("a replication slot outlives the transaction"),
        "pg_drop_replication_slot"
        | "pg_replication_slot_advance"
        | "pg_logical_slot_get_changes"
        | "pg_logical_slot_get_binary_changes" => Some("it changes a replication slot"),
        "pg_advisory_lock"
        | "pg_advisory_lock_shared"
        | "pg_try_advisory_lock"
        | "pg_try_advisory_lock_shared"
        | "pg_advisory_unlock"
        | "pg_advisory_unlock_shared"
        | "pg_advisory_unlock_all" => Some("its lock outlives the transaction; use the `_xact_` form"),
        _ => None,
    }
}

/// Functions (folded, without schema) whose value differs from one run to the next.
pub(super) const NONDETERMINISTIC: [&str; 24] = [
    "clock_timestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "gen_random_bytes",
    "gen_random_uuid",
    "localtime",
    "localtimestamp",
    "now",
    "pg_backend_pid",
    "pg_current_wal_lsn",
    "pg_current_xact_id",
    "random",
    "random_normal",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
    "txid_current",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
    "xid_current",
];

/// Functions a predicate may call: pure, the same on every supported version, and none reads a table.
pub(super) const PURE: [&str; 16] = [
    "abs", "btrim", "ceil", "ceiling", "coalesce", "floor", "greatest", "least", "length", "lower", "mod", "nullif",
    "round", "sign", "trunc", "upper",
];

/// Types a predicate may cast to: built in, and their input functions look nothing up in a catalog.
pub(super) const TYPES: [&str; 31] = [
    "bigint",
    "bool",
    "boolean",
    "date",
    "dec",
    "decimal",
    "double precision",
    "float",
    "float4",
    "float8",
    "int",
    "int2",
    "int4",
    "int8",
    "integer",
    "interval",
    "json",
    "jsonb",
    "numeric",
    "real",
    "smallint",
    "text",
    "time",
    "time without time zone",
    "timestamp",
    "timestamp with time zone",
    "timestamp without time zone",
    "timestamptz",
    "uuid",
    "varchar",
    "character varying",
];

/// Operators of more than the usual signs that a predicate may use: text, patterns, jsonb.
pub(super) const OPERATORS: [&str; 13] =
    ["||", "->", "->>", "#>", "#>>", "@>", "<@", "~", "~*", "!~", "!~*", "<>", "!="];

/// Words that can follow `INTO temp` only where `temp` is the name of a table.
pub(super) const RESERVED_AFTER_INTO: [&str; 12] =
    ["from", "where", "group", "having", "order", "limit", "union", "intersect", "except", "window", "fetch", ";"];

/// Does a text name this setting, and not one whose name only begins so? PostgreSQL looks settings up without regard to case.
pub fn reads_setting(text: &str, setting: &str) -> bool {
    let (text, setting) = (text.to_lowercase(), setting.to_lowercase());
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    text.match_indices(&setting).any(|(at, found)| ends(&text[at + found.len()..]))
}
