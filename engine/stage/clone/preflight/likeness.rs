//! What the clone's server must have as production has it: locale, collations, extensions, roles, tablespaces.

use super::{Asked, Report, Standing};
use crate::event::Failure;
use crate::name::quote::ident;
use crate::stage::source_facts::SourceFacts;
use crate::target::{Locale, Tx};
use std::collections::BTreeMap;

const EXTENSIONS: &str = include_str!("../../../../sql/engine/source/extensions.sql");
const ROLES: &str = include_str!("../../../../sql/engine/source/roles.sql");
const TABLESPACES: &str = include_str!("../../../../sql/engine/source/tablespaces.sql");
const COLLATIONS: &str = include_str!("../../../../sql/engine/source/collations.sql");
const ITS_EXTENSIONS: &str = include_str!("../../../../sql/engine/target/extensions.sql");
const ITS_ROLES: &str = include_str!("../../../../sql/engine/target/roles.sql");
const ITS_TABLESPACES: &str = include_str!("../../../../sql/engine/target/tablespaces.sql");
const ITS_COLLATIONS: &str = include_str!("../../../../sql/engine/target/collations.sql");
const ITS_LOCALE: &str = include_str!("../../../../sql/engine/target/locale.sql");

/// Everything.
pub(super) async fn check(
    asked: &Asked<'_>,
    facts: &SourceFacts,
    standing: &Standing,
    target: &Tx,
    report: &mut Report,
) -> Result<(), Failure> {
    let there = locale(asked, &facts.locale, target, report).await?;
    let (recorded, here) = (standing.collation.0.as_deref(), standing.collation.1.as_deref());
    versions(report, &asked.target.source, recorded, here, there.as_deref());
    collations(asked, &facts.locale.encoding, target, report).await?;
    extensions(asked, &facts.extensions_out, target, report).await?;
    roles(asked, target, report).await?;
    tablespaces(asked, target, report).await
}

/// Roles of the clone's server.
pub(super) struct Roles(BTreeMap<String, (bool, bool, bool)>);

impl Roles {
    /// Asks for the roles named.
    pub(super) async fn read(target: &Tx, names: &[String], asked: &Asked<'_>) -> Result<Roles, Failure> {
        let maker = asked.target.maker.door().user();
        let rows = target.query(ITS_ROLES, &[&names, &maker]).await?;
        Ok(Roles(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect()))
    }

    /// Is it superuser, does it pass by row level security?
    pub(super) fn powers_of(&self, role: &str) -> (bool, bool) {
        self.0.get(role).map_or((false, false), |(superuser, passes, _)| (*superuser, *passes))
    }
}

/// Answers the version of that collation on the clone's server.
async fn locale(
    asked: &Asked<'_>,
    locale: &Locale,
    target: &Tx,
    report: &mut Report,
) -> Result<Option<String>, Failure> {
    let mut missing = Vec::new();
    for name in [&locale.collate, &locale.ctype] {
        if !missing.contains(name) && !has_locale(target, name).await? {
            missing.push(name.clone());
        }
    }
    if let Some(first) = missing.first() {
        let fix = format!("locale-gen {first}   on the clone's server, as root; then restart that server");
        let what = format!("the clone's server does not know the locale of `{}`", asked.target.source);
        report.problem(what, missing.iter().map(|name| format!("locale {name}")).collect(), &[("then", fix)]);
    }
    let row = target.query_one(ITS_LOCALE, &[&locale.provider, &locale.collate, &locale.locale]).await?;
    let (icu, there): (bool, Option<String>) = (row.get(0), row.get(1));
    if locale.provider == "i" && !icu {
        let what = format!("`{}` sorts by ICU, and the clone's server was built without it", asked.target.source);
        let locale = locale.locale.clone().unwrap_or_default();
        report.problem(what, vec![format!("ICU locale {locale}")], &[("then", "use a server with ICU".to_owned())]);
    }
    Ok(there)
}

/// Another version of a collation may sort otherwise: rows are the same, the order of an index is not.
fn versions(report: &mut Report, source: &str, recorded: Option<&str>, here: Option<&str>, there: Option<&str>) {
    if let (Some(recorded), Some(here)) = (recorded, here)
        && recorded != here
    {
        report.warn(format!(
            "`{source}` was made with collation version {recorded} and its server now has {here}: indexes over text may \
             be wrong there; REINDEX, then ALTER DATABASE ... REFRESH COLLATION VERSION"
        ));
    }
    match (here, there) {
        (Some(here), Some(there)) if here != there => report.warn(format!(
            "collation version {here} in `{source}` and {there} on the clone's server: text may sort otherwise there"
        )),
        (Some(here), None) => {
            report.note(format!("collation version {here} in `{source}`, not known on the clone's server"));
        }
        _ => {}
    }
}

/// The server itself says: a setting of another category takes the same names. Nothing is left of the try.
async fn has_locale(target: &Tx, name: &str) -> Result<bool, Failure> {
    target.enter_read_only().await?;
    let tried = target.query_one("SELECT pg_catalog.set_config('lc_monetary', $1, true)", &[&name]).await;
    target.leave_read_only().await?;
    match tried {
        Ok(_) => Ok(true),
        Err(refused) if refused.sqlstate.as_deref() == Some("22023") => Ok(false),
        Err(failure) => Err(failure),
    }
}

async fn collations(asked: &Asked<'_>, encoding: &str, target: &Tx, report: &mut Report) -> Result<(), Failure> {
    let used = pairs(asked.source, COLLATIONS).await?;
    let names: Vec<&String> = used.keys().collect();
    let there = target.query(ITS_COLLATIONS, &[&names, &encoding]).await?;
    let there: Vec<String> = there.iter().map(|row| row.get(0)).collect();
    let missing: Vec<String> = used
        .iter()
        .filter(|(name, _)| !there.contains(name))
        .map(|(name, user)| format!("collation {}, of {user}", shown(name)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let fix = "generate these locales there, then SELECT pg_import_system_collations('pg_catalog') in its template0"
        .to_owned();
    report.problem("the clone's server lacks collations that columns name", missing, &[("then", fix)]);
    Ok(())
}

async fn extensions(asked: &Asked<'_>, out: &[String], target: &Tx, report: &mut Report) -> Result<(), Failure> {
    let mut wanted = pairs(asked.source, EXTENSIONS).await?;
    wanted.retain(|name, _| !out.contains(name));
    let names: Vec<&String> = wanted.keys().collect();
    let there: BTreeMap<String, Option<String>> =
        target.query(ITS_EXTENSIONS, &[&names]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let (mut missing, mut differ) = (Vec::new(), Vec::new());
    let mut fixes = Vec::new();
    for (name, version) in &wanted {
        match there.get(name) {
            None => missing.push(format!("{name} {version}")),
            Some(found) if found.as_ref() == Some(version) => {}
            Some(found) => {
                let found = found.as_deref().unwrap_or("none");
                differ.push(format!("{name} {version} in `{}`, {found} there", asked.target.source));
                fixes.push(format!("ALTER EXTENSION {} UPDATE TO '{found}'", shown(name)));
            }
        }
    }
    if !missing.is_empty() {
        let fix = "install the packages that bring them on the clone's server; nothing needs to be created there";
        report.problem("the clone's server lacks extensions", missing, &[("then", fix.to_owned())]);
    }
    let source: i32 = asked.identity.version_num / 10_000;
    let there: String = target.query_one("SELECT pg_catalog.current_setting('server_version_num')", &[]).await?.get(0);
    if there.parse::<i32>().is_ok_and(|there| there / 10_000 != source) {
        // Another major version brings others along: that is compared through a mask, which says so.
        differ.drain(..).for_each(|text| report.warn(format!("extension {text}: another major version brings it")));
    }
    if !differ.is_empty() {
        let update = format!("{}, in production", fixes.join("; "));
        let package = "install the package of production's version on the clone's server".to_owned();
        let what = "the clone's server would create extensions in another version";
        report.problem(what, differ, &[("then", update), ("or", package)]);
    }
    Ok(())
}

async fn roles(asked: &Asked<'_>, target: &Tx, report: &mut Report) -> Result<(), Failure> {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    let mut by_others = Vec::new();
    for row in asked.source.query(ROLES, &[]).await? {
        let (role, what, count): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        if let Some(given) = row.get::<_, Option<String>>(3) {
            by_others.push(format!("to {} on {given}", shown(&role)));
        }
        named.insert(role, format!("{what}{more}"));
    }
    let (owner, stage) = (&asked.target.owner_role, &asked.target.stage_role);
    let mut names: Vec<String> = named.keys().cloned().collect();
    names.extend([owner.clone(), stage.clone()]);
    let there = Roles::read(target, &names, asked).await?;
    let missing: Vec<&String> = named.keys().filter(|role| !there.0.contains_key(*role)).collect();
    if !missing.is_empty() {
        let facts = missing.iter().map(|role| format!("{}, in {}", shown(role), named[*role])).collect();
        let create: Vec<String> = missing.iter().map(|role| format!("CREATE ROLE {} NOLOGIN", shown(role))).collect();
        let fix = format!("{}   on the clone's server", create.join("; "));
        report.problem("the clone's server lacks roles that grants and policies name", facts, &[("then", fix)]);
    }
    let maker = asked.target.maker.door().user();
    match there.0.get(owner) {
        Some((.., true)) => {}
        Some(_) => {
            let fix = format!("GRANT {} TO {}   on the clone's server", shown(owner), shown(maker));
            let what = format!("{maker} makes the clone and is no member of {owner}, who will own what is in it");
            report.problem(what, Vec::new(), &[("then", fix)]);
        }
        None => {
            let fix =
                format!("CREATE ROLE {o} NOLOGIN; GRANT {o} TO {}, {}", shown(maker), shown(stage), o = shown(owner));
            report.problem(format!("the clone's server has no role {owner}"), Vec::new(), &[("then", fix)]);
        }
    }
    if !there.0.contains_key(stage) {
        let fix = format!("CREATE ROLE {s} LOGIN; GRANT {} TO {s}", shown(owner), s = shown(stage));
        report.problem(format!("the clone's server has no role {stage}"), Vec::new(), &[("then", fix)]);
    }
    if !by_others.is_empty() && !there.powers_of(maker).0 {
        let fix = "as the object's owner: GRANT the same, then let the other grantor REVOKE its own".to_owned();
        let what = "grants were given by somebody who is not the owner, which only a superuser can restore";
        report.problem(what, by_others, &[("then", fix)]);
    }
    Ok(())
}

async fn tablespaces(asked: &Asked<'_>, target: &Tx, report: &mut Report) -> Result<(), Failure> {
    let used = pairs(asked.source, TABLESPACES).await?;
    let (names, owner) = (used.keys().collect::<Vec<&String>>(), &asked.target.owner_role);
    if names.is_empty() || !Roles::read(target, std::slice::from_ref(owner), asked).await?.0.contains_key(owner) {
        return Ok(());
    }
    let there: BTreeMap<String, bool> =
        target.query(ITS_TABLESPACES, &[&names, owner]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (name, user) in &used {
        let quoted = shown(name);
        let facts = vec![format!("used by {user}")];
        match there.get(name) {
            Some(true) => {}
            Some(false) => {
                let fix = format!("GRANT CREATE ON TABLESPACE {quoted} TO {}   on the clone's server", shown(owner));
                report.problem(format!("{owner} may not create in the tablespace {quoted}"), facts, &[("then", fix)]);
            }
            None => {
                let fix = format!("CREATE TABLESPACE {quoted} LOCATION '/...'   on the clone's server");
                report.problem(format!("the clone's server has no tablespace {quoted}"), facts, &[("then", fix)]);
            }
        }
    }
    Ok(())
}

/// Names and what goes with each.
async fn pairs(tx: &Tx, sql: &str) -> Result<BTreeMap<String, String>, Failure> {
    Ok(tx.query(sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// As SQL wants it.
fn shown(name: &str) -> String {
    ident(name).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_collation_are_compared_where_they_are_known() {
        let told = |recorded, here, there| {
            let mut report = Report::default();
            versions(&mut report, "p", recorded, here, there);
            (report.warnings.len(), report.notes.len())
        };
        assert_eq!(told(Some("2.36"), Some("2.36"), Some("2.36")), (0, 0));
        assert_eq!(told(None, None, None), (0, 0));
        assert_eq!(told(Some("2.31"), Some("2.36"), Some("2.36")), (1, 0));
        assert_eq!(told(Some("2.36"), Some("2.36"), Some("2.41")), (1, 0));
        assert_eq!(told(Some("2.36"), Some("2.36"), None), (0, 1));
    }
}
