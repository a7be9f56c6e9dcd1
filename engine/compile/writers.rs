//! Two stages without an order that write or alter the same table are a plan error: their result would be chance.

use crate::diag::{Diagnostic, Diagnostics};
use crate::plan::Plan;
use crate::stage::{Built, Lacks};
use std::collections::BTreeMap;

/// Reports unordered writers of one table.
pub fn unordered(plan: &Plan, built: &BTreeMap<String, Built>, lacks: &Lacks, out: &mut Diagnostics) {
    let mut by_table: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for index in plan.graph.order() {
        let Some(one) = built.get(&plan.stages[*index].name.value) else { continue };
        let (Some(work), Some(on)) = (&one.work, &one.head.on) else { continue };
        let named = work.writes.iter().map(|b| b.table.as_str()).chain(work.alters.iter().map(String::as_str));
        // However it is written: a stage that writes and alters one table is one writer.
        let mut tables: Vec<&str> = named.map(|table| table.strip_prefix("public.").unwrap_or(table)).collect();
        tables.sort_unstable();
        tables.dedup();
        for table in tables {
            by_table.entry((on.clone(), table.to_owned())).or_default().push(*index);
        }
    }
    for ((_, table), writers) in by_table {
        // In topological order it is enough that each one follows the one before it.
        for pair in writers.windows(2) {
            let (first, second) = (&plan.stages[pair[0]], &plan.stages[pair[1]]);
            // Where a need is missing, that is what there is to say.
            let unsettled = pair.iter().any(|stage| lacks.unsettled(&plan.graph, *stage));
            if plan.graph.upstream(pair[1], pair[0]) || unsettled {
                continue;
            }
            out.push(
                Diagnostic::new(
                    "unordered-writers",
                    format!("`{}` and `{}` both write `{table}`, in no order", first.name.value, second.name.value),
                    second.name.place.clone(),
                )
                .label("may run before or after the other")
                .related(first.name.place.clone(), "the other one")
                .help(format!("add \"{}\" to the `needs` of `{}`", first.name.value, second.name.value)),
            );
        }
    }
}
