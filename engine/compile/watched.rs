//! A target that is watched must be read whole by some stage: what was there is what later looks are compared with.

use crate::diag::{Diagnostic, Diagnostics};
use crate::plan::Plan;
use crate::stage::Stage;

/// Reports watched targets that nothing can be compared with.
pub fn unread(plan: &Plan, stages: &[Option<Box<dyn Stage>>], out: &mut Diagnostics) {
    for target in plan.targets.iter().filter(|target| target.watch) {
        let name = target.name.value.as_str();
        let seen = stages.iter().flatten().filter_map(|stage| stage.sees_whole()).any(|(of, _)| of == name);
        if !seen {
            let message = format!("`{name}` is watched, and no stage reads all of it");
            out.push(
                Diagnostic::new("watch-nothing", message, target.name.place.clone())
                    .label("compared with what?")
                    .help(format!("add a stage of kind \"fingerprint\" on \"{name}\" at the start, without `include`, `exclude` and `level`")),
            );
        }
    }
}
