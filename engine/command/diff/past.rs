//! Journals of earlier runs of the plans that changed: what their guards and ensures came to.

use crate::command::home;
use crate::event::{Event, Failure};
use crate::journal::{History, Home};
use crate::review::{self, Asked, PastRun, Review};

/// The newest runs of a plan that are looked at.
const RUNS: usize = 12;

/// The newest runs of any plan that are opened for that.
const OPENED: usize = 200;

/// Says of each changed guard what it did in the last runs, and would do now. A review needs no runs, so that journals that
/// cannot be read are a remark and no failure.
pub(super) fn look_back(journal: Option<&str>, reviews: &mut [Review]) {
    if !reviews.iter().any(review::wants_runs) {
        return;
    }
    let home = home(journal);
    for review in reviews.iter_mut().filter(|review| review::wants_runs(review)) {
        match home.as_ref().map_err(Clone::clone).and_then(|home| runs(home, &review.plan)) {
            Ok((runs, unread)) => {
                review::look_back(review, &runs);
                review.remarks.extend(match unread {
                    0 => None,
                    1 => Some("1 journal of an earlier run cannot be read".to_owned()),
                    many => Some(format!("{many} journals of earlier runs cannot be read")),
                });
            }
            Err(failure) => review.remarks.push(format!("earlier runs were not looked at: {}", failure.what)),
        }
    }
}

/// The last runs of a plan, newest first, and how many journals could not be read on the way.
fn runs(home: &Home, plan: &str) -> Result<(Vec<PastRun>, usize), Failure> {
    let (mut found, mut unread) = (Vec::new(), 0);
    for (id, _) in home.runs()?.into_iter().rev().take(OPENED) {
        match home.place(&id).read() {
            Ok(history) if is_of(&history, plan) => found.push(past(&history)),
            Ok(_) => {}
            Err(_) => unread += 1,
        }
        if found.len() == RUNS {
            break;
        }
    }
    Ok((found, unread))
}

fn is_of(history: &History, wanted: &str) -> bool {
    matches!(history.events().next(), Some(Event::RunStarted { plan, .. }) if plan == wanted)
}

fn past(history: &History) -> PastRun {
    let mut run = PastRun::default();
    for event in history.events() {
        let Event::Judged { stage, role, judgements } = event else { continue };
        run.asked.extend(judgements.iter().map(|judgement| Asked {
            stage: stage.clone(),
            role: *role,
            name: judgement.name.clone(),
            truth: judgement.truth,
            operands: judgement.operands.clone(),
        }));
    }
    run
}
