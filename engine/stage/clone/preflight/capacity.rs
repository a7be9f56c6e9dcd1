//! Is there room: connections, locks, transaction ids, disk? And what may cut a long snapshot short.

use super::{Asked, Report, Standing};
use crate::event::Failure;
use crate::target::Tx;
use std::path::Path;

const ALREADY: &str = include_str!("../../../../sql/engine/target/already.sql");

/// The first major version that has `transaction_timeout`.
const KNOWS_TIMEOUT: u32 = 17;

const LIMITS: &str = include_str!("../../../../sql/engine/target/limits.sql");

/// A server warns when so few transaction ids are left, and soon stops giving any.
const IDS_LOW: i64 = 40_000_000;

/// Since when a database is called old: the age at which a server vacuums without regard to load.
const IDS_OLD: i64 = 1_600_000_000;

/// All transaction ids that may be in use.
const IDS: i64 = (1 << 31) - 1;

/// What a server, a role and a database allow, and how much of it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limits {
    connections: i64,
    reserved: i64,
    used: i64,
    superuser: bool,
    /// Limit of the role and what is used of it; negative: none.
    role: (i64, i64),
    /// The same of the database.
    database: (i64, i64),
    locks: i64,
    oldest: i64,
    name: String,
    creates: bool,
    standby: bool,
    major: i32,
    folder: Option<String>,
}

impl Limits {
    async fn read(tx: &Tx) -> Result<Limits, Failure> {
        let row = tx.query_one(LIMITS, &[]).await?;
        Ok(Limits {
            connections: row.get(0),
            reserved: row.get(1),
            used: row.get(2),
            superuser: row.get(3),
            role: (row.get(4), row.get(5)),
            database: (row.get(6), row.get(7)),
            locks: row.get(8),
            oldest: row.get::<_, Option<i64>>(9).unwrap_or(0),
            name: row.get(10),
            creates: row.get(11),
            standby: row.get(12),
            major: row.get(13),
            folder: row.get(14),
        })
    }

    /// Which limit leaves no room for so many more sessions: what it is, what is left, what would widen it.
    /// `all` counts the sessions of both sides, which matters where both are one server.
    fn too_few(&self, more: i64, all: i64, maintenance: bool) -> Option<(String, i64, String)> {
        let reserved = if self.superuser { 0 } else { self.reserved };
        let free = self.connections - reserved - self.used;
        if free < all {
            let what =
                format!("max_connections is {}, {} are in use and {reserved} reserved", self.connections, self.used);
            return Some((what, free, "end idle sessions, or raise max_connections and restart that server".into()));
        }
        let short = |(limit, used): (i64, i64)| (limit >= 0 && limit - used < more).then_some(limit - used);
        if let (Some(free), false) = (short(self.role), self.superuser) {
            let what =
                format!("the role {} has CONNECTION LIMIT {}, {} are in use", self.name, self.role.0, self.role.1);
            return Some((what, free, format!("ALTER ROLE {} CONNECTION LIMIT -1", self.name)));
        }
        // The maker's sessions go to the clone, not to the maintenance database.
        if let (Some(free), false, false) = (short(self.database), self.superuser, maintenance) {
            let what = format!("the database has CONNECTION LIMIT {}, {} are in use", self.database.0, self.database.1);
            return Some((what, free, "ALTER DATABASE NAME CONNECTION LIMIT -1".into()));
        }
        None
    }
}

/// Everything.
pub(super) async fn check(
    asked: &Asked<'_>,
    standing: &Standing,
    target: &Tx,
    report: &mut Report,
) -> Result<(), Failure> {
    let name = &asked.target.source;
    let (here, there) = (Limits::read(asked.source).await?, Limits::read(target).await?);
    let one_server = asked.target.maker.identity().await?.system_identifier == asked.identity.system_identifier;
    connections(asked, (&here, &there), one_server, report);
    for (limits, server) in [(&here, format!("`{name}`")), (&there, "the clone's server".to_owned())] {
        locks(limits, &server, standing.relations, report);
    }
    ids(&here, &there, name, one_server, report);
    if !there.creates {
        let fix = format!("ALTER ROLE {} CREATEDB   on the clone's server", there.name);
        report.problem(format!("{} may not create databases", there.name), Vec::new(), &[("then", fix)]);
    }
    if there.standby {
        report.problem("the clone's server is a standby, where nothing can be made", Vec::new(), &[]);
    }
    let dump = crate::programs::Programs::client_for(super::major(asked.identity)).map_or(0, |p| p.major());
    clients(dump, u32::try_from(there.major).unwrap_or(0), report);
    cut_short(standing, name, report);
    let address = asked.target.maker.door().address();
    let needed = standing.bytes - there_already(asked, target).await?;
    let told = disk(&address, there.folder.as_deref(), needed.max(0)).told(report);
    report.note(told);
    Ok(())
}

/// What `pg_restore` says at the start of every session from 17 on, an older server refuses. 0: there is no `pg_dump`.
fn clients(dump: u32, there: u32, report: &mut Report) {
    if dump >= KNOWS_TIMEOUT && there < KNOWS_TIMEOUT {
        let what =
            format!("pg_restore {dump} sets transaction_timeout, which the clone's server, {there}, does not know");
        let fix = format!("apt-get install postgresql-client-{}", KNOWS_TIMEOUT - 1);
        let other =
            format!("a server of PostgreSQL {KNOWS_TIMEOUT} or later for the clone, if what is cloned is of one");
        report.problem(what, Vec::new(), &[("then", fix), ("or", other)]);
    } else if dump > 0 && dump < there {
        report.warn(format!("pg_dump {dump} is older than the clone's server, {there}"));
    }
}

/// Bytes that are on the clone's server already and need no more room: a half clone of this run, and a clone in whose place
/// this one comes.
async fn there_already(asked: &Asked<'_>, target: &Tx) -> Result<i64, Failure> {
    let names = [super::super::working_name(&asked.cx.run), asked.target.database.clone()];
    Ok(target.query_one(ALREADY, &[&names.as_slice()]).await?.get(0))
}

fn connections(asked: &Asked<'_>, (here, there): (&Limits, &Limits), one_server: bool, report: &mut Report) {
    let (reading, writing) = (i64::from(asked.reading), i64::from(asked.writing));
    // Where both are one server, its room is asked for once, by the source.
    let (all_reading, all_writing) = if one_server { (reading + writing, 0) } else { (reading, writing) };
    let sides = [
        (here.too_few(reading, all_reading, false), format!("`{}`", asked.target.source), all_reading),
        (there.too_few(writing, all_writing, true), "the clone's server".to_owned(), writing),
    ];
    for (few, server, needed) in sides {
        let Some((what, free, fix)) = few else { continue };
        let title = format!("{server} has room for {} more sessions, and up to {needed} are needed", free.max(0));
        let fewer = "a smaller `jobs` in the clone stage".to_owned();
        report.problem(title, vec![what], &[("then", fix), ("or", fewer)]);
    }
}

/// Each table and index that a transaction reads is a lock that it holds.
fn locks(limits: &Limits, server: &str, relations: i64, report: &mut Report) {
    let there = format!("{server} has room for about {} locks in all", limits.locks);
    // The lock table borrows from what shared memory has to spare: a tenth, and some hundred kilobytes.
    if relations > limits.locks + limits.locks / 10 + 1_000 {
        let needed = relations / (limits.locks / 64).max(1) + 64;
        let fix = format!("max_locks_per_transaction = {needed}   in its configuration; then restart it");
        let fact = format!("{relations} tables, indexes and sequences are read in one transaction");
        report.problem(there, vec![fact], &[("then", fix)]);
    } else if relations > limits.locks / 2 {
        report.warn(format!("{there}, and {relations} tables, indexes and sequences are read in one transaction"));
    }
}

fn ids(here: &Limits, there: &Limits, name: &str, one_server: bool, report: &mut Report) {
    let left = IDS - there.oldest;
    if left < IDS_LOW {
        let what = format!("the clone's server has {left} transaction ids left before it stops");
        report.problem(what, Vec::new(), &[("then", "VACUUM FREEZE in its oldest database, as superuser".to_owned())]);
    } else if there.oldest > IDS_OLD && !one_server {
        report.warn(format!("the clone's server has {left} transaction ids left: it needs a VACUUM FREEZE"));
    }
    if here.oldest > IDS_OLD {
        let left = IDS - here.oldest;
        report.warn(format!(
            "the server of `{name}` has {left} transaction ids left, and a snapshot holds back its VACUUM"
        ));
    }
}

/// What is known to end a snapshot early, and what others hold open already.
fn cut_short(standing: &Standing, name: &str, report: &mut Report) {
    if standing.standby && !standing.feedback {
        report.warn(format!(
            "`{name}` is a standby with hot_standby_feedback off: what its primary cleans up ends the snapshot after \
             max_standby_streaming_delay = {}; set hot_standby_feedback = on there",
            standing.delay
        ));
    }
    if let Some(limit) = standing.transaction_timeout.as_ref().filter(|limit| *limit != "0") {
        report.warn(format!(
            "`{name}` ends transactions after transaction_timeout = {limit}, and the snapshot is one: \
             ALTER ROLE READER SET transaction_timeout = 0, by its server's superuser"
        ));
    }
    if standing.prepared > 0 {
        report
            .note(format!("{} prepared transactions in `{name}`: their rows are not in the clone", standing.prepared));
    }
    if let Some(age) = standing.held_back.filter(|age| *age > 1_000_000) {
        report.note(format!("another snapshot holds back VACUUM in `{name}` already, {age} transactions old"));
    }
}

/// What can be said of the disk.
#[derive(Debug, PartialEq, Eq)]
enum Disk {
    Unknown(&'static str),
    Known { free: u64, folder: String, needed: u64 },
}

/// Only the data directory of a server on this machine can be looked at, and only if the maker may know where it is.
fn disk(address: &str, folder: Option<&str>, needed: i64) -> Disk {
    let Some(folder) = folder else { return Disk::Unknown("the maker may not read data_directory") };
    if !address.starts_with('/') {
        return Disk::Unknown("the clone's server is reached over a network");
    }
    match rustix::fs::statvfs(Path::new(folder)) {
        Err(_) => Disk::Unknown("its data directory cannot be looked at"),
        Ok(found) => Disk::Known {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            folder: folder.to_owned(),
            needed: needed.unsigned_abs(),
        },
    }
}

impl Disk {
    /// Says what there is; too little is a problem, not enough for a second copy (of a rehearsal) a warning.
    fn told(self, report: &mut Report) -> String {
        match self {
            Disk::Unknown(why) => format!("disk of the clone's server: not known, {why}"),
            Disk::Known { free, folder, needed } => {
                let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
                let (free_mb, needed_mb) = (megabytes(free), megabytes(needed));
                if free < needed {
                    let fix = format!("make room for {needed_mb} MB in {folder}, or use another server");
                    let what = format!("the clone needs about {needed_mb} MB and its server has {free_mb} MB free");
                    report.problem(what, vec![format!("in {folder}")], &[("then", fix)]);
                } else if free / 2 < needed {
                    report.warn(format!(
                        "{free_mb} MB are free for a clone of {needed_mb} MB: a rehearsal makes a copy of it"
                    ));
                }
                format!(
                    "disk of the clone's server: {free_mb} MB free in {folder}, the database to clone takes {needed_mb} MB"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: 100,
            reserved: 3,
            used: 10,
            superuser: false,
            role: (-1, 1),
            database: (-1, 1),
            locks: 1_000,
            oldest: 200_000_000,
            name: "r".into(),
            creates: true,
            standby: false,
            major: 15,
            folder: None,
        }
    }

    fn left(limits: &Limits, more: i64) -> Option<i64> {
        limits.too_few(more, more, false).map(|(_, free, _)| free)
    }

    #[test]
    fn each_limit_of_connections_counts() {
        assert_eq!(left(&limits(), 87), None);
        assert_eq!(left(&limits(), 88), Some(87));
        assert_eq!(left(&Limits { superuser: true, ..limits() }, 88), None);
        assert_eq!(left(&Limits { role: (4, 2), ..limits() }, 3), Some(2));
        assert_eq!(left(&Limits { role: (4, 2), superuser: true, ..limits() }, 3), None);
        assert_eq!(left(&Limits { database: (4, 3), ..limits() }, 2), Some(1));
        assert_eq!(Limits { database: (4, 3), ..limits() }.too_few(2, 2, true), None);
    }

    #[test]
    fn transaction_ids_run_out_where_the_clone_is_made() {
        let told = |here: i64, there: i64| {
            let mut report = Report::default();
            let (here, there) = (Limits { oldest: here, ..limits() }, Limits { oldest: there, ..limits() });
            ids(&here, &there, "p", false, &mut report);
            (report.problems.len(), report.warnings.len())
        };
        assert_eq!(told(200_000_000, 200_000_000), (0, 0));
        assert_eq!(told(1_700_000_000, 200_000_000), (0, 1));
        assert_eq!(told(200_000_000, 1_700_000_000), (0, 1));
        assert_eq!(told(200_000_000, 2_120_000_000), (1, 0));
    }

    #[test]
    fn a_newer_pg_restore_is_refused_by_an_older_server() {
        let told = |dump: u32, there: u32| {
            let mut report = Report::default();
            clients(dump, there, &mut report);
            (report.problems.len(), report.warnings.len())
        };
        assert_eq!(
            [told(17, 15), told(18, 16), told(16, 15), told(17, 17), told(15, 16), told(0, 16)],
            [(1, 0), (1, 0), (0, 0), (0, 0), (0, 1), (0, 0)]
        );
    }

    #[test]
    fn a_server_that_ends_transactions_is_told_of() {
        let told = |limit: Option<&str>| {
            let mut report = Report::default();
            let standing = Standing {
                relations: 1,
                bytes: 1,
                standby: false,
                feedback: true,
                delay: String::new(),
                prepared: 0,
                held_back: None,
                collation: (None, None),
                transaction_timeout: limit.map(str::to_owned),
            };
            cut_short(&standing, "p", &mut report);
            report.warnings.len()
        };
        assert_eq!([told(None), told(Some("0")), told(Some("30min"))], [0, 0, 1]);
    }

    #[test]
    fn a_disk_is_full_or_half_full_or_not_known() {
        let told = |free: u64| {
            let mut report = Report::default();
            Disk::Known { free, folder: "/d".into(), needed: 100_000_000 }.told(&mut report);
            (report.problems.len(), report.warnings.len())
        };
        assert_eq!(told(99_000_000), (1, 0));
        assert_eq!(told(150_000_000), (0, 1));
        assert_eq!(told(300_000_000), (0, 0));
        assert!(matches!(disk("db.internal:5432", Some("/"), 1), Disk::Unknown(_)));
        assert!(matches!(disk("/tmp:5432", None, 1), Disk::Unknown(_)));
        assert!(matches!(disk("/tmp:5432", Some("/"), 1), Disk::Known { free: 1.., .. }));
    }

    #[test]
    fn many_tables_need_many_locks() {
        let told = |relations: i64| {
            let mut report = Report::default();
            locks(&limits(), "s", relations, &mut report);
            (report.problems.len(), report.warnings.len())
        };
        assert_eq!([told(500), told(501), told(2_100), told(2_101)], [(0, 0), (0, 1), (0, 1), (1, 0)]);
    }
}
