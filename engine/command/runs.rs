//! `runs`: all runs of this working directory or of the shared journal, newest first.

use super::print;
use crate::clock::show_ms;
use crate::event::{Event, Exit, Failure, RunState};
use crate::journal::Home;

/// Lists runs.
///
/// # Errors
/// The folder cannot be read.
pub fn run(home: &Home, json: bool) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for (id, holder) in home.runs()?.into_iter().rev() {
        let row = match home.place(&id).read() {
            Err(failure) => [id, "?".into(), "?".into(), "?".into(), failure.what],
            Ok(history) => {
                let state = RunState::of(history.events());
                let (plan, at) = match (&state.started, history.lines.first()) {
                    (Some(Event::RunStarted { plan, .. }), Some(line)) => {
                        (plan.clone(), line.at.get(..16).unwrap_or("").replace('T', " "))
                    }
                    _ => ("?".into(), "?".into()),
                };
                let (took, outcome) = match &state.ended {
                    _ if holder.is_some() => (String::new(), "running".into()),
                    Some(Event::RunEnded { verdict, ms, .. }) => (show_ms(*ms), verdict.clone()),
                    _ if home.is_standby() => (String::new(), super::UNSEEN.into()),
                    _ => (String::new(), "ended without a farewell; engine resume".into()),
                };
                [id, plan, at, took, outcome]
            }
        };
        rows.push(row);
    }
    if json {
        for [run, plan, started, took, outcome] in rows {
            let line = serde_json::json!({ "v": 1, "type": "run", "run": run, "plan": plan, "started": started, "took": took, "outcome": outcome });
            print(&format!("{line}\n"));
        }
        return Ok(Exit::Ok);
    }
    let head = ["run".to_owned(), "plan".into(), "started".into(), "took".into(), "outcome".into()];
    let all: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let width = |c: usize| all.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..4).map(width).collect();
    for row in &all {
        print(&format!(
            "{:<a$}  {:<b$}  {:<c$}  {:<d$}  {}\n",
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            a = widths[0],
            b = widths[1],
            c = widths[2],
            d = widths[3]
        ));
    }
    Ok(Exit::Ok)
}
