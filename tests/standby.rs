//! A standby as the source: production's primary is not even connected to, and what others change there is seen.

mod support;

use engine::event::{Event, Unchanged};
use engine::sandbox::{Options, Sample, Server};
use std::path::Path;
use std::process::Command;
use support::Bench;

/// A primary with the sample production, and a standby that follows it; both end with the test.
struct Pair {
    primary: Server,
    standby: Server,
    _folder: tempfile::TempDir,
}

fn server(data: &Path) -> Server {
    let options = Options { dir: Some(data.to_path_buf()), fsync: false, ..Options::default() };
    Server::start(&options).unwrap_or_else(|failure| support::fail(&failure))
}

impl Pair {
    fn new() -> Pair {
        let folder = tempfile::Builder::new().prefix("pair-").tempdir_in("/tmp").expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("a folder of ours");
        let (first, second) = (folder.path().join("primary"), folder.path().join("standby"));
        let primary = server(&first);
        Sample::Governance.load(&primary, "directus", 2_000).unwrap_or_else(|failure| support::fail(&failure));
        primary.stop().expect("it stops");
        // Everything, owners and times included: what a base backup is, of a server at rest.
        let copied = Command::new("cp").arg("-a").arg(&first).arg(&second).status().expect("cp");
        assert!(copied.success());
        let primary = server(&first);
        let url = primary.url("postgres", "postgres");
        let follow = format!("\nprimary_conninfo = '{url}'\nhot_standby_feedback = on\n");
        let settings = second.join("data/postgresql.auto.conf");
        let text = std::fs::read_to_string(&settings).expect("settings") + &follow;
        std::fs::write(&settings, text).expect("settings");
        std::fs::write(second.join("data/standby.signal"), "").expect("a signal");
        Pair { primary, standby: server(&second), _folder: folder }
    }

    fn ask(of: &Server, sql: &str) -> String {
        of.psql("directus", sql).unwrap_or_else(|failure| support::fail(&failure))
    }

    /// Changes production on its primary, and waits until the standby has heard of it.
    fn changed(&self, sql: &str) {
        let sql = format!("{sql}; SELECT pg_current_wal_lsn()");
        let told = Pair::ask(&self.primary, &sql);
        let at = told.lines().last().expect("a place in the WAL");
        let since = std::time::Instant::now();
        while Pair::ask(&self.standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{at}'")) != "t" {
            assert!(since.elapsed().as_secs() < 60, "the standby does not follow");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn the_whole_pipeline_runs_beside_a_standby() {
    let pair = Pair::new();
    pair.changed("SELECT 1");
    let mut bench = Bench::new("standby");
    bench.set("ENGINE_PRODUCTION_URL", &pair.standby.url("engine_reader", "directus"));
    assert!(
        bench.engine(&["doctor", support::MAIN_JOB]).expect(0).stdout.contains("on a standby, where nobody can write")
    );
    bench.apply(&[]).expect(0).says(&["technical GO", "unchanged since `preflight`"]);
    let seen = |bench: &Bench| {
        let events = bench.journal().events;
        events.into_iter().rev().find_map(|event| match event {
            Event::ProductionChecked { verdict, tables, by_watermark, .. } => Some((verdict, tables, by_watermark)),
            _ => None,
        })
    };
    let (verdict, tables, by_watermark) = seen(&bench).expect("a check");
    assert!(tables.is_empty() && by_watermark > 20, "{verdict:?} {tables:?} {by_watermark}");
    let standby = bench
        .journal()
        .events
        .into_iter()
        .any(|event| matches!(event, Event::TargetBound { clone: None, identity, .. } if identity.in_recovery));
    assert!(standby, "production was bound on a standby");
    let page = bench.read(&format!("{}/GO-NO-GO.md", bench.packet().0));
    assert!(page.contains("a standby"), "{page}");

    // Others write on the primary while a run is at work: named, and nothing else.
    bench.engine(&["drop", "latest"]).expect(0);
    bench.apply(&["--until", "f_rollback"]).expect(0);
    pair.changed("UPDATE gov_seams SET title = title || '.' WHERE seam_code = (SELECT min(seam_code) FROM gov_seams)");
    bench.engine(&["resume"]).expect(0);
    let (verdict, tables, by_watermark) = seen(&bench).expect("a check");
    assert_eq!(verdict, Unchanged::ChangedByOthers);
    assert!(tables.len() == 1 && tables[0].starts_with("table public.gov_seams: content differs"), "{tables:?}");
    assert!(by_watermark > 20, "{by_watermark}");
    // An owner's write on the standby: the server itself refuses.
    let refused = pair.standby.psql_as("directus").run("directus", "sql", "DELETE FROM gov_seams");
    assert!(refused.expect_err("a standby").facts.iter().any(|fact| fact.contains("25006")), "read-only");
}
