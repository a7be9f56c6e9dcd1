//! `doctor PLAN`: are the targets reachable, who are we there, what could that role do, and what makes it right?

use super::{PlanArgs, compiled, print};
use crate::event::{Exit, Failure};
use crate::name::quote::ident;
use crate::plan::{Access, Plan, Target};
use crate::target::{Door, Isolation, Maker, Reader, Settings, Url, identify, powers};
use std::time::Duration;

/// Examines every target of a plan.
///
/// # Errors
/// A variables file that cannot be read; what is wrong with a target is its screen, and exit 1.
pub async fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let workflow = match compiled(args, false)? {
        Ok(workflow) => workflow,
        Err(exit) => return Ok(exit),
    };
    let mut exit = Exit::Ok;
    for target in &workflow.plan.targets {
        print(&format!("{}\n", target.name.value));
        let outcome = if target.clone_of.is_some() { clone(target, &workflow.plan).await } else { plain(target).await };
        match outcome {
            Ok(right) if right => print("  right as it is\n"),
            Ok(_) => exit = exit.worse(Exit::Io),
            Err(failure) => {
                print(&format!("  {}\n", crate::ui::draw(&failure).replace('\n', "\n  ")));
                exit = exit.worse(failure.exit);
            }
        }
    }
    Ok(exit)
}

/// A rollout may not write the approvals, so it cannot lock them; this function only locks.
const HOLD: &str =
    "  approvals cannot be held while a packet is applied; once, as their owner (APPROVALS is their table):
    CREATE SCHEMA engine_gate;
    CREATE FUNCTION engine_gate.hold() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
        AS 'BEGIN LOCK TABLE public.APPROVALS IN SHARE MODE; END';
    REVOKE ALL ON FUNCTION engine_gate.hold() FROM PUBLIC;
    GRANT USAGE ON SCHEMA engine_gate TO ROLLOUT_ROLE;
    GRANT EXECUTE ON FUNCTION engine_gate.hold() TO ROLLOUT_ROLE;
";

fn settings(read_only: bool) -> Settings {
    let (statement_timeout, lock_timeout) = (Duration::from_secs(60), Duration::from_secs(5));
    Settings { search_path: String::new(), statement_timeout, lock_timeout, read_only }
}

async fn plain(target: &Target) -> Result<bool, Failure> {
    let name = &target.name.value;
    let url = Url::read(name, &target.url.value)?;
    let reader = Reader::new(Door::new(name, &url, None, &settings(true))?);
    let tx = reader.begin("examination", Isolation::Snapshot).await?;
    let identity = identify(&tx).await?;
    let found = powers(&tx, &identity.session_user).await?;
    let public: bool = tx
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_database AS d, \
             pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS a \
             WHERE d.datname = pg_catalog.current_database() AND a.grantee = 0 AND a.privilege_type = 'CONNECT')",
            &[],
        )
        .await?
        .get(0);
    // By the catalogs: a role that may not use the schema could not name the function.
    let can_hold: bool = tx
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc AS p \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace \
             WHERE n.nspname = 'engine_gate' AND p.proname = 'hold' AND p.pronargs = 0)",
            &[],
        )
        .await?
        .get(0);
    tx.finish().await?;
    let unheld = target.access == Access::Write && !target.gates.is_empty() && !can_hold;
    if unheld {
        print(HOLD);
    }
    print(&format!(
        "  {} (oid {}) of server {}, PostgreSQL {}\n",
        identity.database, identity.oid, identity.system_identifier, identity.version
    ));
    print(&format!("  as {}{}\n", identity.session_user, if identity.in_recovery { ", on a standby" } else { "" }));
    for power in &found {
        print(&format!("  that role {power}\n"));
    }
    let mut right = !unheld;
    let role = ident(&identity.session_user).unwrap_or_default();
    let database = ident(&identity.database).unwrap_or_default();
    if target.access == Access::Read && !found.is_empty() {
        right = false;
        print(&format!("  to make it a reader, as the owner of {database}:\n"));
        print(&format!("    ALTER ROLE {role} NOSUPERUSER NOCREATEROLE NOREPLICATION;\n"));
        print(&format!(
            "    REVOKE ALL ON DATABASE {database} FROM {role};\n    REVOKE CREATE ON SCHEMA public FROM {role}, PUBLIC;\n"
        ));
        print(&format!(
            "    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role};\n    REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role};\n"
        ));
        print(&format!(
            "    GRANT CONNECT ON DATABASE {database} TO {role};\n    GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};\n    GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};\n"
        ));
    }
    if public {
        right = false;
        print(&format!(
            "  everybody may connect; once, as the owner of {database}:\n    REVOKE CONNECT ON DATABASE {database} FROM PUBLIC;\n"
        ));
    }
    Ok(right)
}

async fn clone(target: &Target, plan: &Plan) -> Result<bool, Failure> {
    let name = &target.name.value;
    let url = Url::read(name, &target.url.value)?;
    let maker_ref = target.maker_url.as_ref().map_or(&target.url.value, |m| &m.value);
    let maker = Maker::new(Door::new(name, &Url::read(name, maker_ref)?, None, &settings(false))?);
    let stage_role = Door::new(name, &url, None, &settings(false))?.user().to_owned();
    let identity = maker.identity().await?;
    let owner = maker.owner_of(&stage_role).await?;
    print(&format!(
        "  made by {} at server {}, PostgreSQL {}\n",
        identity.session_user, identity.system_identifier, identity.version
    ));
    print(&format!("  stages run as {stage_role}, everything in it will be owned by {owner}\n"));
    let mut right = true;
    if owner == stage_role {
        right = false;
        print("  the stage role should work as an owner of its own, as a superuser:\n");
        print(&format!(
            "    CREATE ROLE engine_owner NOLOGIN;\n    GRANT engine_owner TO {stage_role}, {};\n    ALTER ROLE {stage_role} SET role = engine_owner;\n",
            identity.session_user
        ));
    }
    let mut dangers = Vec::new();
    if let Some(source) = target.clone_of.as_ref().and_then(|s| plan.target(&s.value)) {
        let url = Url::read(&source.name.value, &source.url.value)?;
        let tx = Reader::new(Door::new(&source.name.value, &url, None, &settings(true))?)
            .begin("what the clone's roles could do", Isolation::Snapshot)
            .await?;
        let production = identify(&tx).await?;
        if production.system_identifier == identity.system_identifier {
            dangers = maker.dangers(&stage_role, &identity.session_user, &production.database).await?;
            for role in [&stage_role, &identity.session_user] {
                dangers.extend(
                    powers(&tx, role)
                        .await?
                        .into_iter()
                        .map(|power| format!("role {role} {power} in {}", production.database)),
                );
            }
        }
        tx.finish().await?;
    }
    for danger in &dangers {
        right = false;
        print(&format!("  {danger}\n"));
    }
    if !dangers.is_empty() {
        print(
            "  roles are instance-wide; as production's owner, REVOKE each of these from the role, from PUBLIC, or from\n",
        );
        print(
            "  the role it is a member of, as in: REVOKE CONNECT ON DATABASE production FROM engine_stage, PUBLIC;\n",
        );
    }
    Ok(right)
}
