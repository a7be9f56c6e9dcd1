//! The door from production to the clone: the role that reads production tries it, and must be refused.

use super::CloneStage;
use crate::event::{Event, Exit, Failure, Identity};
use crate::plan::ReaderPolicy;
use crate::stage::Cx;
use crate::target::{CloneTarget, Expected};

/// Tries it, and says so in the journal. `None`: the clone is in another server, where trying would hand that server a
/// password of production's; the reader's role means nothing there.
pub(super) async fn tried(
    cx: &Cx,
    stage: &CloneStage,
    target: &CloneTarget,
    (source, clone): (&Identity, &Expected),
) -> Result<Option<String>, Failure> {
    if source.system_identifier != clone.system_identifier {
        return Ok(None);
    }
    let reader = cx.targets.plain(&target.source)?.reader.door();
    let door = reader.at(target.maker.door())?.to_database(&target.database)?;
    let said = door.knock().await?;
    let role = source.session_user.clone();
    cx.record(Event::DoorTried {
        stage: Some(stage.head.name.clone()),
        role: role.clone(),
        target: stage.on.clone(),
        database: target.database.clone(),
        place: door.address(),
        open: said.is_none(),
        said: said.clone().unwrap_or_else(|| "let in".to_owned()),
    })?;
    match said {
        Some(_) => Ok(Some(format!("{role} shut out"))),
        None if stage.reader == ReaderPolicy::Attested => Ok(Some(format!("{role} LET IN, attested"))),
        None => Err(Failure::new(
            Exit::StageFailed,
            format!("the role `{role}` that reads production is let into the clone `{}`", target.database),
        )
        .fact("it was tried: what a stage leaves in the clone could then run with the rights of production's reader")
        .next("then", format!("take {role} out of the roles {} and {}", target.owner_role, target.stage_role))
        .next("see", "engine doctor PLAN")),
    }
}
