//! Binding: every target is reached and identified, and refused if it is not the one meant or its role may too much.

use crate::clock::Stopwatch;
use crate::compile::Workflow;
use crate::event::{Event, Exit, Failure, Identity};
use crate::plan::{Access, ReaderPolicy, Target};
use crate::target::{
    Called, CloneTarget, Confined, Door, Isolation, Maker, Plain, Reader, Settings, Targets, TxRecord, Url, Writer,
    identify, powers, secured, told,
};
use std::time::Duration;

/// Targets, and what is known of each.
#[derive(Debug)]
pub struct Binding {
    /// The targets.
    pub targets: Targets,
    /// A `TargetBound` for each.
    pub events: Vec<Event>,
}

/// Reaches every target of a workflow.
///
/// # Errors
/// Unreachable (75), credentials or powers (1), or not the database that was meant (63). Nothing was changed.
pub async fn bind(workflow: &Workflow) -> Result<Binding, Failure> {
    let mut binding = Binding { targets: Targets::default(), events: Vec::new() };
    for target in workflow.plan.targets.iter().filter(|t| t.clone_of.is_none()) {
        let (plain, events) = patiently(|| plain(workflow, target)).await?;
        binding.targets.plain.insert(target.name.value.clone(), plain);
        binding.events.extend(events);
    }
    for target in workflow.plan.targets.iter().filter(|t| t.clone_of.is_some()) {
        let (clone, events) = patiently(|| clone(workflow, target, &binding.targets)).await?;
        binding.targets.clones.insert(target.name.value.clone(), clone);
        binding.events.extend(events);
    }
    Ok(binding)
}

/// A try that took so long is the last one.
const LONG: Duration = Duration::from_secs(10);

/// Three tries, two seconds apart, and only for what is temporary: three wrong passwords lock an account.
async fn patiently<T, F: Future<Output = Result<T, Failure>>>(attempt: impl Fn() -> F) -> Result<T, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let watch = Stopwatch::start();
        match attempt().await {
            Err(failure)
                if failure.exit == Exit::Temporary && tries < 3 && u128::from(watch.ms()) < LONG.as_millis() =>
            {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Err(failure) if failure.exit == Exit::Temporary => {
                return Err(failure
                    .fact(if tries == 1 { "tried once".to_owned() } else { format!("tried {tries} times, 2 s apart") })
                    .changed("nothing was changed")
                    .next("then", "the same command again, once the server lets us in"));
            }
            Err(failure) if failure.changed.is_none() => return Err(failure.changed("nothing was changed")),
            other => return other,
        }
    }
}

fn settings(workflow: &Workflow, read_only: bool) -> Settings {
    Settings {
        search_path: workflow.plan.search_path.clone(),
        statement_timeout: Duration::from_secs(86_400),
        lock_timeout: Duration::from_secs(5),
        read_only,
    }
}

/// Of the sessions that make, mark and drop.
pub(super) fn maker_settings(workflow: &Workflow) -> Settings {
    Settings { search_path: String::new(), ..settings(workflow, false) }
}

async fn plain(workflow: &Workflow, target: &Target) -> Result<(Plain, Vec<Event>), Failure> {
    let name = target.name.value.as_str();
    let url = Url::of(target)?;
    let door = Door::new(name, &url, None, &settings(workflow, true))?;
    let waived = door.waived().map(str::to_owned).into_iter().collect();
    let place = door.address();
    let reader = Reader::new(door);
    let tx = reader.begin("who is there", Isolation::Snapshot).await?;
    let identity = Identity { tls: secured(&tx).await?, ..identify(&tx).await? };
    let (found, residual) = told(&powers(&tx, &identity.session_user).await?);
    let record = TxRecord { powers: Some(found.len() as u64), ..tx.finish().await? };
    let strict = target.access == Access::Read && target.reader == ReaderPolicy::Confined;
    let reader = reader.bound_to(&identity).confined(Confined { role: identity.session_user.clone(), strict });
    let writer = match target.access {
        Access::Read => {
            confine(target, &identity, &found)?;
            None
        }
        Access::Write => {
            let door = Door::new(name, &url, None, &settings(workflow, false))?.bound_to(&identity);
            Some(Writer::to_rollout_target(door)?)
        }
    };
    let event = Event::TargetBound {
        target: name.to_owned(),
        place,
        clone: None,
        identity: identity.clone(),
        powers: found,
        residual,
        waived,
    };
    Ok((Plain { reader, writer, identity }, vec![event, Event::Transaction { record }]))
}

fn confine(target: &Target, identity: &Identity, found: &[String]) -> Result<(), Failure> {
    if found.is_empty() || target.reader == ReaderPolicy::Attested {
        return Ok(());
    }
    let name = &target.name.value;
    let mut failure = Failure::new(
        Exit::Io,
        format!(
            "the role `{}` that reads `{name}` could change it, and the plan wants a confined reader",
            identity.session_user
        ),
    )
    .changed("nothing was changed; no run was started")
    .next("see", "engine doctor PLAN   prints the GRANTs and REVOKEs that make it right")
    .next("or", format!("say in [target.{name}]: reader = \"attested\", and let the evidence list these powers"));
    failure.facts = found.iter().take(12).cloned().collect();
    if found.len() > 12 {
        failure.facts.push(format!("and {} more", found.len() - 12));
    }
    Err(failure)
}

async fn clone(workflow: &Workflow, target: &Target, targets: &Targets) -> Result<(CloneTarget, Vec<Event>), Failure> {
    let name = target.name.value.as_str();
    let source = target.clone_of.as_ref().map(|s| s.value.clone()).unwrap_or_default();
    let (url, maker_url) = (Url::of(target)?, Url::of_maker(target)?);
    let maker_settings = maker_settings(workflow);
    let maker = Maker::new(Door::new(name, &maker_url, None, &maker_settings)?);
    let identity = Identity { tls: maker.secured().await?, ..maker.identity().await? };
    let stage = Door::new(name, &url, None, &maker_settings)?;
    let mut waived: Vec<String> =
        [&stage, maker.door()].iter().filter_map(|door| door.waived().map(str::to_owned)).collect();
    waived.dedup();
    let stage_role = stage.user().to_owned();
    let owner_role = maker.owner_of(&stage_role).await?;
    let database = workflow.databases.get(name).cloned().unwrap_or_default();
    let production = targets.plain(&source)?;
    refuse_same(&database, &identity, production)?;
    let golden = target.golden.as_ref().map(|golden| golden.value.clone());
    if let Some(golden) = &golden {
        refuse_golden(golden, &database)?;
        refuse_same(golden, &identity, production)?;
    }
    if stage_role.is_empty() {
        return Err(Failure::new(Exit::Io, format!("the connection string of `{name}` names no role"))
            .fact(format!("from {}", url.origin)));
    }
    let mut events = Vec::new();
    let named = production_name(&identity, production);
    let mut doors: Vec<String> =
        maker.dangers(&stage_role, &identity.session_user, &named).await?.into_iter().map(|door| door.what).collect();
    if identity.system_identifier == production.identity.system_identifier {
        let (could, watched) = reach(production, &[&stage_role, &identity.session_user]).await?;
        doors.extend(could);
        events.push(watched);
    }
    let tried = knocked(&Door::new(name, &url, None, &maker_settings)?, production, &source).await?;
    if let Event::DoorTried { open: true, role, .. } = &tried
        && doors.is_empty()
    {
        doors.push(format!("role {role} was let in when it was tried"));
    }
    events.push(tried);
    if !doors.is_empty() && workflow.plan.target(&source).is_none_or(|t| t.reader == ReaderPolicy::Confined) {
        let mut failure = Failure::new(Exit::Io, format!("a role of the clone `{name}` could reach `{source}`"))
            .changed("nothing was changed; no run was started")
            .next("see", "engine doctor PLAN   prints the GRANTs and REVOKEs that make it right");
        failure.facts = doors;
        return Err(failure);
    }
    let place = maker.door().address();
    let settings = settings(workflow, false);
    let known = Some(database.clone());
    let clone = CloneTarget::new(
        Called { source, database, expires: target.expires, golden },
        maker,
        (stage_role, owner_role),
        (url, settings),
    );
    // Of an attested plan: what its roles could do to production.
    let (target, powers, residual) = (name.to_owned(), doors, Vec::new());
    events.insert(0, Event::TargetBound { target, place, clone: known, identity, powers, residual, waived });
    Ok((clone, events))
}

/// Tries whether production lets in the role that runs the stages: it must not. Elsewhere too: a password that opens
/// both is a door.
async fn knocked(stages: &Door, production: &Plain, source: &str) -> Result<Event, Failure> {
    let there = stages.at(production.reader.door())?;
    let said = there.knock().await?;
    Ok(Event::DoorTried {
        stage: None,
        role: stages.user().to_owned(),
        target: source.to_owned(),
        database: production.identity.database.clone(),
        place: production.reader.door().address(),
        open: said.is_none(),
        said: said.unwrap_or_else(|| "let in".to_owned()),
    })
}

/// Roles are instance-wide: what the clone's roles could write in production, asked there.
async fn reach(production: &Plain, roles: &[&str]) -> Result<(Vec<String>, Event), Failure> {
    let tx = production.reader.begin("what the clone's roles could do", Isolation::Snapshot).await?;
    let mut found = Vec::new();
    for role in roles {
        let could = told(&powers(&tx, role).await?).0;
        found.extend(could.into_iter().filter(|p| p != "is superuser").map(|power| format!("role {role} {power}")));
    }
    let record = tx.finish().await?;
    Ok((found, Event::Transaction { record }))
}

/// Production's name, when the clone lives in the same instance.
fn production_name(maker: &Identity, production: &Plain) -> String {
    if maker.system_identifier == production.identity.system_identifier {
        production.identity.database.clone()
    } else {
        String::new()
    }
}

/// The clone's name may come from variables, so that only now both are known.
fn refuse_golden(golden: &str, database: &str) -> Result<(), Failure> {
    if golden != database {
        return Ok(());
    }
    Err(Failure::new(Exit::WrongDatabase, format!("the clone and its golden copy would both be called `{golden}`"))
        .next("then", "give one of them another name: `database` or `golden` of the target")
        .changed("nothing was changed"))
}

fn refuse_same(database: &str, maker: &Identity, production: &Plain) -> Result<(), Failure> {
    let same_server = maker.system_identifier == production.identity.system_identifier;
    if same_server && database == production.identity.database {
        return Err(Failure::new(
            Exit::WrongDatabase,
            format!("the clone or its golden copy would be called `{database}`, which is production itself"),
        )
        .next("then", "give it another name: `database` or `golden` of its target, or the variable that it names")
        .changed("nothing was changed"));
    }
    if maker.version_num / 10_000 < production.identity.version_num / 10_000 {
        return Err(Failure::new(Exit::WrongDatabase, "the clone's server is older than production's")
            .fact(format!(
                "production is PostgreSQL {}, the clone's server {}",
                production.identity.version, maker.version
            ))
            .changed("nothing was changed"));
    }
    Ok(())
}
