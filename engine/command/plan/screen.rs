//! A preview for people.

use super::estimate::Estimate;
use super::lint;
use super::preview::{Judged, Preview, Stage, Statement};

/// The whole screen.
pub(super) fn draw(preview: &Preview) -> String {
    let mut text = targets(preview);
    text.push_str("\nstages, in the order they may start\n");
    for (number, stage) in preview.stages.iter().enumerate() {
        text.push_str(&of_stage(number + 1, stage));
    }
    text.push_str(
        "\nlocks are those of the statements' classes, estimates those of the planner of the source: triggers,\n",
    );
    text.push_str("foreign keys, views and partitions bring more of both\n");
    text.push_str("\ngates, as they stand: a preview authorises nothing\n");
    for (target, gates) in &preview.gates {
        for gate in gates {
            text.push_str(&predicate(&format!("gate of {target}"), gate));
        }
    }
    text.push_str(&never(preview));
    text
}

fn targets(preview: &Preview) -> String {
    let mut text = String::new();
    for target in &preview.targets {
        let (name, place, identity) = (&target.name, &target.place, &target.identity);
        if let Some(database) = &target.clone {
            text.push_str(&format!("{name:<12} {database} at {place}, would be made by {}\n", identity.session_user));
        } else {
            let could = match target.powers.len() {
                0 => "cannot write".to_owned(),
                powers => format!("has {powers} powers to write"),
            };
            text.push_str(&format!(
                "{name:<12} {} at {place}, PostgreSQL {}, as {}, which {could}\n",
                identity.database, identity.version, identity.session_user
            ));
        }
        text.push_str(&format!("{:<12} {}\n", "", target.touched));
        target.waived.iter().for_each(|waived| text.push_str(&format!("{name:<12} {waived}\n")));
    }
    if !preview.readings.is_empty() {
        text.push_str("\nreadings\n");
    }
    for (name, reading) in &preview.readings {
        let pinned = if preview.pinned.contains(name) { "   pinned" } else { "" };
        text.push_str(&format!("       {name:<20} {}{pinned}\n", reading.shown()));
    }
    text
}

fn of_stage(number: usize, stage: &Stage) -> String {
    let on = stage.on.as_deref().unwrap_or("");
    let mut text = format!("{number:>4} {:<20} {:<11} {on}\n", stage.name, stage.kind);
    let mut line = |word: &str, what: String| text.push_str(&format!("       {word:<8}{what}\n"));
    if !stage.needs.is_empty() {
        line("after", stage.needs.join(", "));
    }
    if stage.beside.count > 0 {
        let more = stage.beside.count - stage.beside.first.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        line("beside", format!("{}{more}: they may run at the same time", stage.beside.first.join(", ")));
    }
    if stage.touches.never_touches_production() {
        line("reach", "never touches production".to_owned());
    } else if !stage.touches.reads.is_empty() {
        line("reach", format!("reads {}", stage.touches.reads.join(", ")));
    }
    if let (Some(target), false) = (&stage.touches.writes, stage.touches.writes_clone) {
        line("reach", format!("WRITES {target}, once its gates hold"));
    }
    for bound in &stage.writes {
        let most = bound.most.map_or("any number of".to_owned(), |n| format!("at most {n}"));
        line("writes", format!("{} {most} row changes", bound.table));
    }
    stage.alters.iter().for_each(|name| line("alters", name.clone()));
    let template = stage.template.as_deref().unwrap_or("");
    for statement in &stage.statements {
        text.push_str(&of_statement(template, statement));
    }
    text.push_str(&lint::draw(&stage.lints));
    stage.guards.iter().for_each(|guard| text.push_str(&predicate("guard", guard)));
    text
}

fn of_statement(template: &str, statement: &Statement) -> String {
    let mut text =
        format!("       {:<7} {template}:{}   {}\n", statement.verb, statement.line, estimate(&statement.estimate));
    for (table, mode) in &statement.locks {
        text.push_str(&format!("         lock    {mode} on {table}\n"));
    }
    for unknown in &statement.locks_not_known {
        text.push_str(&format!("         lock    not known: {unknown}\n"));
    }
    text
}

fn estimate(estimate: &Estimate) -> String {
    let half = if estimate.reading_half { ", its reading half" } else { "" };
    match (estimate.rows, estimate.cost, &estimate.none) {
        (Some(rows), Some(cost), _) => format!("about {rows:.0} rows, cost {cost:.2}{half}"),
        (_, _, Some(why)) => format!("no estimate: {why}"),
        _ => "no estimate".to_owned(),
    }
}

fn predicate(word: &str, judged: &Judged) -> String {
    let judgement = &judged.judgement;
    let operands: Vec<String> = judgement.operands.iter().map(|(name, value)| format!("{name} is {value}")).collect();
    let operands = if operands.is_empty() { String::new() } else { format!("   ({})", operands.join(", ")) };
    let state = &judged.state;
    format!("       {word:<7} {state:<13} {}: {}{operands}\n", judgement.name, judgement.text.trim())
}

/// What no stage does to production.
fn never(preview: &Preview) -> String {
    let plain = preview.targets.iter().filter(|target| target.clone.is_none());
    let mut text = "\nproduction\n".to_owned();
    for target in plain {
        let reads: Vec<&str> =
            preview.stages.iter().filter(|s| s.touches.reads.contains(&target.name)).map(|s| s.name.as_str()).collect();
        let wrote = |stage: &&Stage| stage.touches.writes.as_ref() == Some(&target.name);
        let writes: Vec<&str> = preview.stages.iter().filter(wrote).map(|s| s.name.as_str()).collect();
        let of = preview.stages.len();
        text.push_str(&format!("{:<12} read by {} of {of} stages", target.name, reads.len()));
        text.push_str(&if writes.is_empty() {
            ", written by none\n".to_owned()
        } else {
            format!(", written by {}\n", writes.join(", "))
        });
    }
    text
}
