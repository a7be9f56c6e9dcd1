//! Making, marking, copying and dropping clones: the only place that creates or drops a database.
//!
//! Every database is created with `ALLOW_CONNECTIONS false`, shut to PUBLIC and marked, and only then opened;
//! a TEMPLATE copy inherits none of that. DROP refuses a database without a marker.

use super::connect::{Door, give_back};
use super::fault;
use super::powers::{Grade, POWERS, Power};
use crate::crash;
use crate::event::{Exit, Failure, Identity, Marker};
use crate::name::quote::{ident, literal};
use deadpool_postgres::Object;

/// The role of a golden copy in its marker.
pub const GOLDEN: &str = "golden";

/// From here on a copy by files is quicker than one through the WAL, checkpoints included.
const WORTH_FILES: i64 = 96 << 20;

/// The maker's hand on one server; its door leads to the maintenance database.
#[derive(Clone, Debug)]
pub struct Maker {
    door: Door,
}

/// How a new database is made.
#[derive(Clone, Debug)]
pub struct NewDatabase {
    /// Its name.
    pub name: String,
    /// `template0`, or a clone nobody is connected to.
    pub template: String,
    /// `None` when a clone is copied.
    pub locale: Option<Locale>,
    /// Who works in it: may connect.
    pub stage_role: String,
    /// Who owns what is in it: may create schemas.
    pub owner_role: String,
    /// What its comment will say.
    pub marker: Marker,
    /// May the two roles come in?
    pub doors: Doors,
}

/// Who may connect to a new database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doors {
    /// The stage role and the owner.
    Open,
    /// Nobody: it is only copied from.
    Shut,
}

/// Locale of a database, as `pg_database` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locale {
    /// `UTF8`.
    pub encoding: String,
    /// `datcollate`.
    pub collate: String,
    /// `datctype`.
    pub ctype: String,
    /// `c`, `i` or `b`.
    pub provider: String,
    /// `daticulocale` or `datlocale`.
    pub locale: Option<String>,
}

/// A database of that name, as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Oid.
    pub oid: i64,
    /// Our marker, if it carries one.
    pub marker: Option<Marker>,
    /// It lets nobody in: it is being made, or copied.
    pub shut: bool,
    /// Sessions of somebody that are connected to it; the server's own, such as autovacuum, do not count.
    pub sessions: i64,
}

impl Maker {
    /// Works through `door`.
    pub fn new(door: Door) -> Maker {
        Maker { door }
    }

    /// The maintenance door.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Who and where the maker is.
    ///
    /// # Errors
    /// Cannot connect, or the server's.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        let session = self.door.session().await?;
        let identity = super::identity::identify_session(&session).await;
        give_back(session).await;
        identity
    }

    /// TLS version and cipher as the server says them; `None`: no TLS is spoken.
    ///
    /// # Errors
    /// As `identity`.
    pub async fn secured(&self) -> Result<Option<String>, Failure> {
        let session = self.door.session().await?;
        let secured = super::identity::secured_session(&session).await;
        give_back(session).await;
        secured
    }

    /// The role that owns what `stage_role` creates: its `ALTER ROLE ... SET role`, else itself.
    ///
    /// # Errors
    /// The server's.
    pub async fn owner_of(&self, stage_role: &str) -> Result<String, Failure> {
        let sql = "SELECT pg_catalog.split_part(c, '=', 2) FROM pg_catalog.pg_db_role_setting AS s \
                   JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) AS c \
                   WHERE s.setdatabase = 0 AND r.rolname = $1 AND c LIKE 'role=%'";
        let rows = self.query(sql, &[&stage_role]).await?;
        Ok(rows.first().map_or_else(|| stage_role.to_owned(), |row| row.get(0)))
    }

    /// What the stage role or the maker could do to production in the same instance; `production` is empty elsewhere.
    ///
    /// # Errors
    /// The server's.
    pub async fn dangers(&self, stage_role: &str, maker_role: &str, production: &str) -> Result<Vec<Power>, Failure> {
        const DANGERS: &str = include_str!("../../sql/engine/clone_dangers.sql");
        let mut found: Vec<Power> =
            self.query(DANGERS, &[&stage_role, &maker_role, &production]).await?.iter().map(Power::of).collect();
        if production.is_empty() {
            // Nobody asks about them in production: what gets out of a database of their own server.
            for role in [stage_role, maker_role] {
                let could = self.query(POWERS, &[&role]).await?;
                let above = could.iter().map(Power::of).filter(|power| power.grade == Grade::Above);
                found.extend(above.map(|power| Power { what: format!("role {role} {}", power.what), ..power }));
            }
            found.dedup_by(|a, b| a.what == b.what);
        }
        Ok(found)
    }

    /// Is there a database of that name, and is it ours?
    ///
    /// # Errors
    /// The server's.
    pub async fn find(&self, name: &str) -> Result<Option<Found>, Failure> {
        let sql = "SELECT d.oid::bigint, pg_catalog.shobj_description(d.oid, 'pg_database'), \
                   (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a \
                    WHERE a.datid = d.oid AND a.usesysid IS NOT NULL), NOT d.datallowconn \
                   FROM pg_catalog.pg_database AS d WHERE d.datname = $1";
        let rows = self.query(sql, &[&name]).await?;
        Ok(rows.first().map(|row| Found {
            oid: row.get(0),
            marker: row.get::<_, Option<String>>(1).as_deref().and_then(Marker::parse),
            sessions: row.get(2),
            shut: row.get(3),
        }))
    }

    /// Makes a database: closed, shut to PUBLIC, marked, then opened to the two roles. Answers its oid.
    ///
    /// # Errors
    /// The name exists (63), or the server's.
    pub async fn create(&self, new: &NewDatabase) -> Result<i64, Failure> {
        if self.find(&new.name).await?.is_some() {
            return Err(Failure::new(Exit::WrongDatabase, format!("a database `{}` exists", new.name))
                .changed("nothing was changed"));
        }
        let name = quoted(&new.name)?;
        match &new.locale {
            Some(locale) => {
                let clause = locale_clause(locale)?;
                let template = quoted(&new.template)?;
                self.execute(&format!("CREATE DATABASE {name} TEMPLATE {template} ALLOW_CONNECTIONS false{clause}"))
                    .await?;
            }
            None => self.copy(&name, &new.template).await?,
        }
        crash::point(|| "create/made".to_owned());
        let Some(oid) = self.find(&new.name).await?.map(|found| found.oid) else {
            return Err(bug("a database that was just made is gone"));
        };
        let comment = comment(&new.marker, oid)?;
        let (stage, owner) = (quoted(&new.stage_role)?, quoted(&new.owner_role)?);
        let mut steps = vec![
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
            format!("COMMENT ON DATABASE {name} IS {comment}"),
        ];
        if new.doors == Doors::Open {
            steps.push(format!("GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {stage}"));
            steps.push(format!("GRANT CREATE, TEMPORARY ON DATABASE {name} TO {owner}"));
            steps.push(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
        }
        for (n, step) in steps.into_iter().enumerate() {
            self.execute(&step).await?;
            crash::point(|| format!("create/step{n}"));
        }
        Ok(oid)
    }

    /// Copies a database nobody is connected to. A small one goes through the WAL, which spares two checkpoints; a
    /// large one file by file, which spares the WAL; from 18 on as clones of files, where the file system can.
    async fn copy(&self, name: &str, template: &str) -> Result<(), Failure> {
        let rows = self.query(include_str!("../../sql/engine/target/size.sql"), &[&template]).await?;
        let (bytes, version) = rows.first().map_or((0, 0), |row| (row.get::<_, i64>(0), row.get::<_, i32>(1)));
        let copy = format!("CREATE DATABASE {name} TEMPLATE {} ALLOW_CONNECTIONS false", quoted(template)?);
        if bytes < WORTH_FILES {
            return self.execute(&copy).await;
        }
        let files = format!("{copy} STRATEGY file_copy");
        if version >= 180_000 {
            // A file system that cannot says so before anything is copied.
            let session = self.door.session().await?;
            let cloned = async {
                session.batch_execute("SET file_copy_method = clone").await?;
                session.batch_execute(&files).await
            }
            .await;
            drop(Object::take(session));
            if cloned.is_ok() {
                return Ok(());
            }
        }
        self.execute(&files).await
    }

    /// Writes the marker of that very database anew.
    ///
    /// # Errors
    /// The name is another database's by now (63), or the server's.
    pub async fn mark(&self, name: &str, oid: i64, marker: &Marker) -> Result<(), Failure> {
        if self.find(name).await?.is_none_or(|found| found.oid != oid) {
            return Err(Failure::new(Exit::WrongDatabase, format!("database `{name}` is gone, or another one"))
                .changed("its comment was left as it is"));
        }
        let comment = comment(marker, oid)?;
        self.execute(&format!("COMMENT ON DATABASE {} IS {comment}", quoted(name)?)).await
    }

    /// Gives a finished clone its name.
    ///
    /// # Errors
    /// The server's (somebody connected, name taken).
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        self.rename_shut(from, to).await?;
        crash::point(|| "rename/renamed".to_owned());
        self.open(to).await?;
        crash::point(|| "rename/opened".to_owned());
        Ok(())
    }

    /// Gives a database its name, and lets nobody in.
    ///
    /// # Errors
    /// As `rename`.
    pub async fn rename_shut(&self, from: &str, to: &str) -> Result<(), Failure> {
        self.shut(from).await?;
        crash::point(|| "rename/shut".to_owned());
        self.execute(&format!("ALTER DATABASE {} RENAME TO {}", quoted(from)?, quoted(to)?)).await
    }

    /// Says in a golden copy's marker that nothing is known of its content any more.
    ///
    /// # Errors
    /// The server's.
    pub async fn doubt(&self, name: &str, oid: i64, marker: Marker) -> Result<(), Failure> {
        if marker.state.is_none() {
            return Ok(());
        }
        self.mark(name, oid, &Marker { state: None, ..marker }).await
    }

    /// Drops a golden copy of this engine, whichever run made it.
    ///
    /// # Errors
    /// It is none (63), or the server's.
    pub async fn drop_golden(&self, name: &str) -> Result<bool, Failure> {
        let Some(found) = self.find(name).await? else { return Ok(false) };
        match found.marker.filter(|marker| marker.role == GOLDEN && marker.is_of(found.oid)) {
            Some(marker) => {
                // First: it is closed before it is dropped, and one that is closed looks like one that nobody was in.
                self.doubt(name, found.oid, marker.clone()).await?;
                self.drop_database(name, &marker.run).await
            }
            None => {
                Err(Failure::new(Exit::WrongDatabase, format!("database `{name}` is no golden copy of this engine"))
                    .fact("its comment is no marker of a golden copy, so it is neither dropped nor copied from")
                    .changed("nothing was changed")
                    .next("then", "give the golden copy another name: `golden` of the target"))
            }
        }
    }

    /// Closes a database and ends its sessions.
    ///
    /// # Errors
    /// The server's.
    pub async fn shut(&self, name: &str) -> Result<(), Failure> {
        self.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", quoted(name)?)).await?;
        let sql = "SELECT pg_catalog.count(*) FROM (SELECT pg_catalog.pg_terminate_backend(a.pid, 5000) AS t \
                   FROM pg_catalog.pg_stat_activity AS a WHERE a.datname = $1 AND a.pid <> pg_catalog.pg_backend_pid() \
                   AND pg_catalog.pg_has_role(a.usesysid, 'MEMBER')) AS ended";
        self.query(sql, &[&name]).await?;
        Ok(())
    }

    /// Opens a database again.
    ///
    /// # Errors
    /// The server's.
    pub async fn open(&self, name: &str) -> Result<(), Failure> {
        self.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", quoted(name)?)).await
    }

    /// Runs statements inside a database as the maker, in one transaction.
    ///
    /// # Errors
    /// Cannot connect, or the server's.
    pub async fn inside(&self, database: &str, statements: &[String]) -> Result<(), Failure> {
        if statements.is_empty() {
            return Ok(());
        }
        let door = self.door.to_database(database)?;
        let session = door.session().await?;
        let text = format!("BEGIN; {}; COMMIT", statements.join("; "));
        let done = session.batch_execute(&text).await.map_err(|e| fault::statement("set-up inside the clone", &e));
        drop(Object::take(session));
        done
    }

    /// Indexes being built in a database: phase, percent of it.
    ///
    /// # Errors
    /// The server's.
    pub async fn index_builds(&self, database: &str) -> Result<Vec<(String, i64)>, Failure> {
        const PROGRESS: &str = include_str!("../../sql/engine/target/index_progress.sql");
        Ok(self.query(PROGRESS, &[&database]).await?.iter().map(|row| (row.get(1), row.get(2))).collect())
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<super::Row>, Failure> {
        let session = self.door.session().await?;
        let rows = session.query(sql, params).await.map_err(|e| fault::statement("asking the maker's server", &e));
        give_back(session).await;
        rows
    }

    pub(super) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        let session = self.door.session().await?;
        let done = session.batch_execute(sql).await.map_err(|e| fault::statement(first_words(sql), &e));
        give_back(session).await;
        done
    }
}

/// A marker as a literal, for the database of that oid.
fn comment(marker: &Marker, oid: i64) -> Result<String, Failure> {
    literal(&Marker { oid: Some(oid), ..marker.clone() }.text()).map_err(|e| bug(&e.to_string()))
}

fn locale_clause(locale: &Locale) -> Result<String, Failure> {
    let text = |t: &str| literal(t).map_err(|e| bug(&e.to_string()));
    let mut sql = format!(
        " ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        text(&locale.encoding)?,
        text(&locale.collate)?,
        text(&locale.ctype)?
    );
    match (locale.provider.as_str(), &locale.locale) {
        ("i", Some(icu)) => sql.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", text(icu)?)),
        ("b", Some(builtin)) => sql.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", text(builtin)?)),
        _ => sql.push_str(" LOCALE_PROVIDER libc"),
    }
    Ok(sql)
}

fn first_words(sql: &str) -> &str {
    sql.match_indices(' ').nth(3).map_or(sql, |(at, _)| &sql[..at])
}

pub(super) fn quoted(name: &str) -> Result<String, Failure> {
    ident(name).map_err(|why| Failure::new(Exit::Usage, format!("`{name}` cannot name a database or role: {why}")))
}

pub(super) fn bug(what: &str) -> Failure {
    Failure::new(Exit::Io, format!("a bug of the engine: {what}"))
}
