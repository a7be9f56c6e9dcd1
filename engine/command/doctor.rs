//! `doctor PLAN`: are the targets reachable, who are we there, what could that role do, and what makes it right?
//!
//! It reads and prints; every statement that it prints is for a person to judge and to run.

mod cloned;
mod reader;

use super::{PlanArgs, compiled, print};
use crate::event::{Exit, Failure, Identity};
use crate::target::{Door, Grade, Power, Remedy, Settings, statements};
use std::time::Duration;

/// Powers of one grade that are listed; the statements are those of all that were read.
const LISTED: usize = 12;

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
        let outcome = match &target.clone_of {
            Some(_) => cloned::examined(target, &workflow.plan).await,
            None => reader::examined(target).await,
        };
        match outcome {
            Ok(true) => print("  right as it is\n"),
            Ok(false) => exit = exit.worse(Exit::Io),
            Err(failure) => {
                print(&format!("  {}\n", crate::ui::draw(&failure).replace('\n', "\n  ")));
                exit = exit.worse(failure.exit);
            }
        }
    }
    Ok(exit)
}

fn settings(read_only: bool) -> Settings {
    let (statement_timeout, lock_timeout) = (Duration::from_secs(60), Duration::from_secs(5));
    Settings { search_path: String::new(), statement_timeout, lock_timeout, read_only }
}

/// `directus (oid 16384) of server 7..., PostgreSQL 16.14`.
fn place(identity: &Identity) -> String {
    let Identity { database, oid, system_identifier, version, .. } = identity;
    format!("{database} (oid {oid}) of server {system_identifier}, PostgreSQL {version}")
}

/// How a door is reached, as the server says it.
fn way(tls: Option<&str>, door: &Door) -> String {
    let waived = door.waived().map(|waived| format!("  {waived}\n")).unwrap_or_default();
    format!("  {}\n{waived}", tls.map_or("without TLS".to_owned(), |tls| format!("over {tls}")))
}

/// Powers under a heading each grade.
fn graded(powers: &[Power]) {
    for (grade, heading) in Grade::ALL {
        let of: Vec<&Power> = powers.iter().filter(|power| power.grade == grade).collect();
        if of.is_empty() {
            continue;
        }
        print(&format!("  {heading}\n"));
        for power in of.iter().take(LISTED) {
            print(&format!("    {}\n", power.what));
        }
        if of.len() > LISTED {
            print(&format!("    and {} more\n", of.len() - LISTED));
        }
    }
}

/// Statements under a heading; nothing when there are none.
fn typed<'r>(heading: &str, remedies: impl IntoIterator<Item = &'r Remedy>) {
    let lines = statements(remedies);
    if lines.is_empty() {
        return;
    }
    print(&format!("  {heading}\n"));
    for line in lines {
        print(&format!("    {line}\n"));
    }
}
