//! A clone: are its roles what they must be, and is production shut to them?

use super::{graded, print, settings, typed, way};
use crate::event::{Failure, Identity};
use crate::name::quote::ident;
use crate::plan::{Plan, Target};
use crate::target::{Door, Grade, Isolation, Maker, Power, Reader, Remedy, Url, identify, powers};

/// Prints all about it. Is it right as it is?
pub(super) async fn examined(target: &Target, plan: &Plan) -> Result<bool, Failure> {
    let name = &target.name.value;
    let maker = Maker::new(Door::new(name, &Url::of_maker(target)?, None, &settings(false))?);
    let stages = Door::new(name, &Url::of(target)?, None, &settings(false))?;
    let stage_role = stages.user().to_owned();
    let identity = maker.identity().await?;
    let owner = maker.owner_of(&stage_role).await?;
    print(&format!(
        "  made by {} at server {}, PostgreSQL {}\n",
        identity.session_user, identity.system_identifier, identity.version
    ));
    print(&way(maker.secured().await?.as_deref(), maker.door()));
    print(&format!("  stages run as {stage_role}, everything in it will be owned by {owner}\n"));
    let mut right = true;
    if owner == stage_role {
        right = false;
        own_owner(&stage_role, &identity.session_user);
    }
    let Some(source) = target.clone_of.as_ref().and_then(|s| plan.target(&s.value)) else { return Ok(right) };
    let reader = Reader::new(Door::new(&source.name.value, &Url::of(source)?, None, &settings(true))?);
    let doors = doors(&maker, &reader, (&stage_role, &identity)).await?;
    graded(&doors);
    typed(
        "roles belong to the whole server; as the owner of each or a superuser:",
        doors.iter().filter_map(|door| door.remedy.as_ref()),
    );
    let shut = tried(&stages, &reader).await?;
    Ok(right && doors.is_empty() && shut)
}

fn own_owner(stage_role: &str, maker_role: &str) {
    let (stages, makes) = (ident(stage_role).unwrap_or_default(), ident(maker_role).unwrap_or_default());
    let statements = [
        "CREATE ROLE engine_owner NOLOGIN".to_owned(),
        format!("GRANT engine_owner TO {stages}, {makes}"),
        format!("ALTER ROLE {stages} SET role = engine_owner"),
    ];
    let remedies: Vec<Remedy> = statements.into_iter().map(Remedy::whole).collect();
    typed("the stage role should work as an owner of its own; as a superuser:", &remedies);
}

/// What the clone's roles could do to its source, when both are in one server.
async fn doors(
    maker: &Maker,
    reader: &Reader,
    (stage_role, identity): (&str, &Identity),
) -> Result<Vec<Power>, Failure> {
    let tx = reader.begin("what the clone's roles could do", Isolation::Snapshot).await?;
    let production = identify(&tx).await?;
    let one_server = production.system_identifier == identity.system_identifier;
    let named = if one_server { production.database.as_str() } else { "" };
    let mut doors = maker.dangers(stage_role, &identity.session_user, named).await?;
    if one_server {
        for role in [stage_role, &identity.session_user] {
            let could = powers(&tx, role).await?.into_iter();
            doors.extend(could.filter(|p| p.grade != Grade::Listed && p.what != "is superuser").map(|power| Power {
                what: format!("role {role} {} in {}", power.what, production.database),
                ..power
            }));
        }
    }
    tx.finish().await?;
    Ok(doors)
}

/// Tries production's door with the role that runs the stages.
async fn tried(stages: &Door, reader: &Reader) -> Result<bool, Failure> {
    let (role, there) = (stages.user(), reader.door().address());
    let said = stages.at(reader.door())?.knock().await?;
    print(&match &said {
        Some(said) => format!("  tried: {role} is not let into production at {there}: {said}\n"),
        None => format!("  tried: {role} is LET INTO production at {there}\n"),
    });
    Ok(said.is_some())
}
