//! Gates stand on a target and read probes of that target only; a constant gate is refused with the grammar.

use crate::diag::{Diagnostic, Diagnostics};
use crate::guard::Check;
use crate::name;
use crate::plan::{NamedText, Plan, Target};
use crate::sql::{Name, Predicate};
use std::collections::BTreeMap;

/// All gates, by target.
pub fn parse(plan: &Plan, out: &mut Diagnostics) -> BTreeMap<String, Vec<Check>> {
    let of = |target: &Target, out: &mut Diagnostics| -> Vec<Check> {
        if let (Some(_), Some(gate)) = (&target.clone_of, target.gates.first()) {
            out.push(
                Diagnostic::new(
                    "gate-on-clone",
                    format!("`{}` is a clone, and a clone has no gate", target.name.value),
                    gate.name.place.clone(),
                )
                .label("would never be asked")
                .help("write it as a guard of the stages, or on the target the clone is made of"),
            );
        }
        target.gates.iter().filter_map(|gate| one(plan, target, gate, out)).collect()
    };
    plan.targets.iter().map(|target| (target.name.value.clone(), of(target, out))).collect()
}

fn one(plan: &Plan, target: &Target, gate: &NamedText, out: &mut Diagnostics) -> Option<Check> {
    let predicate = match Predicate::parse(&gate.text.value, &gate.text.place) {
        Ok(predicate) => predicate,
        Err(problems) => {
            out.0.extend(problems.0);
            return None;
        }
    };
    let mut whole = true;
    for used in &predicate.uses {
        if let Some((message, help)) = wrong(plan, target, &used.name) {
            let place = crate::sql::locate(&gate.text.place, &predicate.text, used.span.clone());
            out.push(Diagnostic::new("gate-name", message, place).label("here").help(help));
            whole = false;
        }
    }
    whole.then(|| Check { name: gate.name.value.clone(), predicate, place: gate.name.place.shown() })
}

fn wrong(plan: &Plan, target: &Target, used: &Name) -> Option<(String, String)> {
    let own = &target.name.value;
    match used {
        Name::Now(probe) => match plan.probe(probe) {
            Some(known) if known.on.value == *own => None,
            Some(known) => Some((
                format!("gate of `{own}` reads probe `{probe}` of `{}`", known.on.value),
                format!("a gate is asked in the transaction that would write `{own}`: declare a probe on it"),
            )),
            None => {
                let near = name::nearest(probe, plan.probes.iter().map(|p| p.name.value.as_str()));
                let help =
                    near.map_or_else(|| format!("declare `[probe.{probe}]`"), |near| format!("did you mean `{near}`?"));
                Some((format!("there is no probe `{probe}`"), help))
            }
        },
        other => Some((
            format!("a gate cannot read `{other}`"),
            "a gate reads probes of its own target, so that a packet can carry it as plain SQL".to_owned(),
        )),
    }
}
