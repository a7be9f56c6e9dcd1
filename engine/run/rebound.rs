//! A run that is taken up again goes on with the databases it began with: a clone of one and a packet for another would look
//! alike.

use crate::event::{Event, Exit, Failure, Identity};
use crate::journal::History;
use crate::target::Targets;

/// Compares every target that is no clone with what the run was first bound to, and the servers of its clones.
///
/// # Errors
/// One is another database now (exit 63). Nothing was changed.
pub(super) async fn demand(targets: &Targets, run: &str, history: &History) -> Result<(), Failure> {
    same_servers(targets, run, history).await?;
    for (name, plain) in &targets.plain {
        let first = history.events().find_map(|event| match event {
            Event::TargetBound { target, clone: None, identity, .. } if target == name => Some(identity),
            _ => None,
        });
        if let Some(first) = first.filter(|first| !first.same_database(&plain.identity)) {
            return Err(another(name, run, first, &plain.identity));
        }
    }
    Ok(())
}

/// The servers of a run's clones: on another one there is no clone of it, which is no word for it being gone. A clone itself
/// is known by its marker and oid.
///
/// # Errors
/// One is another server now (exit 63). Nothing was changed.
pub(super) async fn same_servers(targets: &Targets, run: &str, history: &History) -> Result<(), Failure> {
    for (name, clone) in &targets.clones {
        let first = history.events().find_map(|event| match event {
            Event::TargetBound { target, clone: Some(_), identity, .. } if target == name => Some(identity),
            _ => None,
        });
        let Some(first) = first else { continue };
        let now = clone.maker.identity().await?;
        if now.system_identifier != first.system_identifier {
            let what = format!("the clones of `{name}` are made on another server than when run {run} made its own");
            return Err(Failure::new(Exit::WrongDatabase, what)
                .fact(format!("then  {}", first.system_identifier))
                .fact(format!("now   {}, at {}", now.system_identifier, clone.maker.door().address()))
                .changed("nothing was changed")
                .next(
                    "then",
                    format!("point `maker_url` and `url` of `{name}` back to that server, and the same command again"),
                )
                .next("or", "start anew: engine apply PLAN   the clone of this run stays where it is"));
        }
    }
    Ok(())
}

fn another(name: &str, run: &str, first: &Identity, now: &Identity) -> Failure {
    let shown = |identity: &Identity| {
        format!("{} (oid {}) of the server {}", identity.database, identity.oid, identity.system_identifier)
    };
    Failure::new(Exit::WrongDatabase, format!("`{name}` is not the database that this run began with"))
        .fact(format!("then  {}", shown(first)))
        .fact(format!("now   {}", shown(now)))
        .changed("nothing was changed")
        .next("then", format!("point its address back to that database and run: engine resume {run}"))
        .next("or", "start anew: engine apply PLAN")
}
