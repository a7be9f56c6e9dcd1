//! The same attempts with a superuser who reads: no right is missing, so only the transaction and the watching hold. What
//! they do not hold is a short list, and each of it is named in `docs/safety.md`.

use super::corpus::{BAIT, ESCAPES};
use super::{attempt, folder, into, reader, state, the_pool_is_clean};
use crate::support::{OwnServer, assert_same, dump};
use engine::event::Exit;
use engine::sandbox::{Sample, Server};
use engine::target::{Isolation, Says};

const DATABASE: &str = "production";

/// What nothing but the role stops.
struct OnlyTheRole {
    /// As the page on safety calls it.
    named: &'static str,
    says: &'static str,
    /// What it got, asked by somebody else while the transaction is open or after it: answers `t`.
    got: &'static str,
    /// How it is made undone.
    undo: &'static str,
}

/// `{dir}`: a folder of the test's; `{victim}`: a backend of production's owner; `{dblink}`: where this server listens.
const ONLY_THE_ROLE: &[OnlyTheRole] = &[
    OnlyTheRole {
        named: "COPY ... TO PROGRAM",
        says: "COPY (SELECT 1) TO PROGRAM 'cat > {dir}/program'",
        got: "SELECT pg_read_file('{dir}/program') = E'1\\n'",
        undo: "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm {dir}/program'",
    },
    OnlyTheRole {
        named: "COPY ... TO a file",
        says: "COPY (SELECT 'escaped') TO '{dir}/file'",
        got: "SELECT pg_read_file('{dir}/file') = E'escaped\\n'",
        undo: "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm {dir}/file'",
    },
    OnlyTheRole {
        named: "lo_export",
        says: "SELECT lo_export(4710, '{dir}/object')",
        got: "SELECT pg_read_file('{dir}/object') = 'bait'",
        undo: "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm {dir}/object'",
    },
    OnlyTheRole {
        named: "pg_read_file",
        says: "SELECT set_config('escaped.seen', pg_read_file('PG_VERSION'), false)",
        got: "SELECT true",
        undo: "SELECT 1",
    },
    OnlyTheRole {
        named: "dblink",
        says: "SELECT public.dblink_exec('{dblink}', 'DELETE FROM public.gov_seam_dossiers')",
        got: "SELECT count(*) = 0 FROM public.gov_seam_dossiers",
        undo: "INSERT INTO public.gov_seam_dossiers SELECT * FROM kept.gov_seam_dossiers",
    },
    OnlyTheRole {
        named: "replication slots",
        says: "SELECT pg_create_physical_replication_slot('escaped', true)",
        got: "SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name = 'escaped'",
        undo: "SELECT pg_drop_replication_slot('escaped')",
    },
    OnlyTheRole {
        named: "pg_terminate_backend",
        says: "SELECT pg_terminate_backend({victim}, 20000)",
        got: "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {victim}",
        undo: "SELECT 1",
    },
    OnlyTheRole {
        named: "LOCK TABLE",
        says: "LOCK TABLE public.gov_scopes IN EXCLUSIVE MODE",
        got: "SELECT count(*) = 1 FROM pg_locks WHERE relation = 'public.gov_scopes'::regclass
              AND mode = 'ExclusiveLock' AND granted",
        undo: "SELECT 1",
    },
    OnlyTheRole {
        named: "pg_switch_wal",
        says: "SELECT pg_switch_wal()",
        got: "SELECT pg_walfile_name(pg_current_wal_lsn() + 1) <> '{segment}'",
        undo: "SELECT 1",
    },
    OnlyTheRole {
        named: "pg_reload_conf",
        says: "SELECT pg_reload_conf()",
        // The postmaster takes its time; the caller was told.
        got: "SELECT true",
        undo: "SELECT 1",
    },
    OnlyTheRole { named: "LOAD", says: "LOAD 'auto_explain'", got: "SELECT true", undo: "SELECT 1" },
];

fn production(own: &OwnServer) -> &'static Server {
    let server = own.server();
    Sample::Governance.load(server, DATABASE, 200).unwrap_or_else(|failure| panic!("{}", failure.what));
    let kept = "CREATE SCHEMA kept; CREATE TABLE kept.gov_seam_dossiers AS TABLE public.gov_seam_dossiers;
                CREATE EXTENSION dblink SCHEMA public";
    for sql in [BAIT, kept] {
        server.psql(DATABASE, sql).unwrap_or_else(|failure| panic!("{}", failure.what));
    }
    server
}

fn everything(server: &Server) -> String {
    // Since 2025 a dump opens and closes with a random word.
    let dump = dump(&server.url("postgres", DATABASE), &["-s"]);
    let lines = dump.lines().filter(|line| !line.contains("restrict "));
    format!("{}\n{}", state(server, DATABASE), lines.collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn a_superuser_who_reads_changes_nothing_but_what_is_listed() {
    let own = OwnServer::new(&[]);
    let server = production(&own);
    let (folder, reader) = (folder(), reader(&server.url("postgres", DATABASE)));
    let (before, unchanged, mut escaped) = (everything(server), state(server, DATABASE), Vec::new());
    for (_, statements) in ESCAPES {
        let statements = into(folder.path(), statements);
        let ended = attempt(&reader, &statements, Isolation::Snapshot).await;
        if let Err(failure) = &ended {
            let told = [Exit::ChangedByUs, Exit::StageFailed].contains(&failure.exit);
            assert!(told, "{statements:?}: {:?} {}", failure.exit, failure.what);
        }
        the_pool_is_clean(&reader, "postgres", &statements).await;
        if state(server, DATABASE) != unchanged {
            // On the list below, and undone here.
            let _ = server.psql(DATABASE, "SELECT pg_drop_replication_slot('escaped')");
            escaped.push(statements.join("; "));
        }
        assert_same(&state(server, DATABASE), &unchanged, &format!("{statements:?}"));
    }
    assert_same(&everything(server), &before, "all of them");
    assert_eq!(escaped, ["SELECT pg_create_physical_replication_slot('escaped', true)"], "not listed");
    let mut reached: Vec<_> = std::fs::read_dir(folder.path()).expect("our folder").flatten().collect();
    reached.sort_by_key(std::fs::DirEntry::file_name);
    // By COPY TO PROGRAM, COPY TO and lo_export, which all mean the same file.
    assert_eq!(reached.iter().map(std::fs::DirEntry::file_name).collect::<Vec<_>>(), ["escaped"]);
}

/// Each of the list does what the page says, for a superuser; and for the reader of the page it does not.
#[tokio::test]
async fn what_only_the_role_stops_is_named_and_the_role_stops_it() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/safety.md")).expect("the page");
    let section = page.split("## What only the role stops").nth(1).expect("the section of the page");
    let section = section.split("\n## ").next().unwrap_or_default();
    let own = OwnServer::new(&[]);
    let server = production(&own);
    let psql = |sql: &str| server.psql(DATABASE, sql).unwrap_or_else(|failure| panic!("{sql}: {}", failure.what));
    let folder = folder();
    let before = state(server, DATABASE);
    for escape in ONLY_THE_ROLE {
        assert!(section.contains(escape.named), "the page does not name {}", escape.named);
        for role in ["engine_reader", "postgres"] {
            let (victim, _connection) = victim(server).await;
            let segment = psql("SELECT pg_walfile_name(pg_current_wal_lsn() + 1)");
            let fill = |sql: &str| {
                sql.replace("{dir}", folder.path().to_str().expect("a path"))
                    .replace("{victim}", &victim)
                    .replace("{segment}", &segment)
                    .replace("{dblink}", &format!("host={} dbname={DATABASE} user=postgres", server.socket().display()))
            };
            let reader = reader(&server.url(role, DATABASE));
            let tx = reader.begin("an escape", Isolation::Snapshot).await.expect("a transaction");
            let said = tx.query_as(Says::Plan, &fill(escape.says), &[]).await;
            if role == "postgres" {
                said.unwrap_or_else(|failure| panic!("{}: {}", escape.says, failure.what));
                assert_eq!(psql(&fill(escape.got)), "t", "no longer true: {}", escape.says);
                // Nothing of it is seen by the watching.
                tx.finish().await.expect("a transaction that only read");
            } else {
                let failure = said.expect_err(escape.says);
                assert_eq!(failure.exit, Exit::StageFailed, "{}: {}", escape.says, failure.what);
                drop(tx);
            }
            psql(&if role == "postgres" { fill(escape.undo) } else { "SELECT 1".to_owned() });
            assert_same(&state(server, DATABASE), &before, escape.says);
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("our folder").count(), 0);
}

/// A session of production's owner: its process id, and what keeps it open.
async fn victim(server: &Server) -> (String, tokio_postgres::Client) {
    let url = server.url("directus", DATABASE);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("an answer").get(0);
    (pid.to_string(), client)
}
