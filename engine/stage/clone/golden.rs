//! A golden copy: the clone as it was once made, kept so that later runs need not copy production again. It is a
//! database beside the clones, written once and never again: closed to everybody, copied from, at last replaced.
//!
//! A run copies it (`branch`) while it reads what is recent in production, brings those rows up to date in the copy
//! (`apply`), and proves that it is production at the new snapshot. The golden copy itself is not refreshed in place:
//! that would write each changed page twice and wait for both, and a kill in the middle would need an answer. When
//! much has become recent it is replaced by a copy of the branch. Any doubt, and everything is made anew.

mod apply;
mod branch;
mod order;
mod state;

use super::super::Cx;
use super::halfway::{self, Half};
use super::making::{Made, Making};
use crate::clock::{self, Stopwatch, show_ms};
use crate::event::{Event, Exit, Failure, Marker, TableWrite};
use crate::fingerprint::Horizon;
use crate::name::process;
use crate::target::{Doors, GOLDEN, NewDatabase};
use branch::Branched;
use state::State;

/// The golden copy is replaced once one row in so many is recent: from then on that costs less than what it saves.
const RENEW: u64 = 30;

/// The name of a golden copy that is not finished; only this run can have given it.
pub(super) fn working_name(run: &str) -> String {
    format!("engine_{run}_golden")
}

/// What the golden copy was good for.
struct Use {
    how: &'static str,
    why: Option<String>,
    recent: u64,
    writes: Vec<TableWrite>,
}

/// Makes a clone from the golden copy `name`, or both anew.
pub(super) async fn make(making: Making<'_>, name: &str, half: Option<Box<Half>>) -> Result<Made, Failure> {
    let (cx, maker) = (making.cx, &making.target.maker);
    let watch = Stopwatch::start();
    let server = maker.identity().await?;
    // Nobody replaces it while another run copies it.
    let _held = maker.hold_golden(name, &process::of(&cx.run)).await?;
    let found = maker.find(name).await?;
    if found.as_ref().is_some_and(|found| found.marker.as_ref().is_none_or(|marker| marker.role != GOLDEN)) {
        return Err(not_golden(name));
    }
    let kept = State::load(name, found.as_ref(), &server, &making.target.owner_role);
    if let Some((opened, marker)) =
        found.as_ref().filter(|found| !found.shut).zip(found.as_ref().and_then(|f| f.marker.clone()))
    {
        // Whoever closes it again does not undo what was done in it.
        maker.doubt(name, opened.oid, marker).await?;
    }
    let begun = making.begin().await?;
    let horizon = Horizon::of(&begun.tx).await?;
    let asked = begun.facts.left_out.clone();
    // What an interrupted process left is of use only where there is nothing to branch from.
    let half = match half {
        Some(_) if kept.is_ok() => {
            halfway::anew(cx, making.stage, making.target, "there is a golden copy to branch from").await?;
            None
        }
        half => half,
    };
    let branched = match kept {
        Ok(state) => Box::pin(branch::run(making, begun, &state)).await?,
        Err(why) => Branched::No(Box::new(begun), why),
    };
    let (mut made, mut used) = match branched {
        Branched::Yes(made, writes, recent) => (*made, Use { how: "branched", why: None, recent, writes }),
        Branched::No(begun, why) => {
            cx.say(making.name(), &format!("the golden copy is made anew: {why}"));
            let made = making.cold(*begun, half).await?;
            (made, Use { how: "made", why: Some(why), recent: 0, writes: Vec::new() })
        }
    };
    if used.how == "made" || used.recent.saturating_mul(RENEW) > made.print.rows() {
        if used.how == "branched" {
            used.how = "renewed";
        }
        keep(making, name, State::new(name, &made, (horizon, asked), &making.target.owner_role)).await?;
    }
    made.how = words(name, &used, watch.ms());
    cx.record(Event::Golden {
        stage: making.name().to_owned(),
        database: name.to_owned(),
        how: used.how.to_owned(),
        why: used.why,
        recent: used.recent,
        writes: used.writes,
        ms: watch.ms(),
    })?;
    Ok(made)
}

fn words(name: &str, used: &Use, ms: u64) -> String {
    let sum = |of: fn(&TableWrite) -> u64| used.writes.iter().map(of).sum::<u64>();
    let rows = format!(
        "{} rows updated, {} inserted, {} deleted in {} tables",
        sum(|w| w.updated),
        sum(|w| w.inserted),
        sum(|w| w.deleted),
        used.writes.len()
    );
    match (&used.why, used.how) {
        (Some(why), _) => format!(" · golden copy {name} made anew: {why}"),
        (None, "renewed") => format!(" · branched from {name} in {}, which was renewed: {rows}", show_ms(ms)),
        (None, _) => format!(" · branched from {name} in {}: {rows}", show_ms(ms)),
    }
}

fn not_golden(name: &str) -> Failure {
    Failure::new(Exit::WrongDatabase, format!("a database `{name}` exists and is no golden copy of this engine"))
        .fact("its comment is no marker of a golden copy, so it is neither copied from nor dropped")
        .changed("nothing was changed")
        .next("then", "give the golden copy another name: `golden` of the target")
}

/// Copies the verified clone, which has no name yet, in place of the golden copy. Its state is on disk before its marker
/// names it: a kill leaves the old one, or none.
async fn keep(making: Making<'_>, name: &str, mut state: State) -> Result<(), Failure> {
    let (cx, target) = (making.cx, making.target);
    let maker = &target.maker;
    cx.say(making.name(), "keeping a golden copy");
    let working = working_name(&cx.run);
    maker.drop_database(&working, &cx.run).await?;
    let mut marker = marker(cx, &state);
    let new = NewDatabase {
        name: working.clone(),
        template: making.working.to_owned(),
        locale: None,
        stage_role: target.stage_role.clone(),
        owner_role: target.owner_role.clone(),
        marker: marker.clone(),
        doors: Doors::Shut,
    };
    let made = async {
        maker.shut(making.working).await?;
        maker.create(&new).await
    }
    .await;
    maker.open(making.working).await?;
    state.oid = made?;
    marker.state = Some(state.write(&maker.identity().await?)?);
    maker.mark(&working, state.oid, &marker).await?;
    maker.drop_golden(name).await?;
    maker.rename_shut(&working, name).await?;
    state.forget_others(&marker)
}

fn marker(cx: &Cx, state: &State) -> Marker {
    let source = &state.print.database;
    Marker {
        engine: 1,
        run: cx.run.clone(),
        plan: cx.plan.clone(),
        role: GOLDEN.to_owned(),
        source: (source.system_identifier.clone(), source.oid, source.database.clone()),
        created: clock::now(),
        expires: None,
        finished: false,
        head: Some(cx.journal.head()),
        oid: None,
        state: None,
    }
}
