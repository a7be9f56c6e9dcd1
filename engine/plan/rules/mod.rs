//! What is checked of a plan without knowing the stage kinds, one file a table.
//!
//! Every rule pushes its diagnostic and goes on with what there is; a plan comes out only when nothing
//! was wrong. `words` holds the questions that all tables ask.

mod probes;
mod stages;
mod targets;
mod texts;
mod vars;
mod words;

use super::graph::Graph;
use super::keys::Keys;
use super::tree::Node;
use super::{Defaults, Index, Plan, Spot, Stage, stray};
use crate::diag::{Diagnostic, Diagnostics, Place, Source};
use crate::name;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The version of the plan language this engine speaks.
const VERSION: i64 = 1;

/// More stages than any reviewer reads; the graph's bits grow with the square.
const MOST_STAGES: usize = 10_000;

/// Tables of one kind: name and keys.
type Tables = Vec<(Spot<String>, Keys)>;

/// Turns the file's tables into a plan.
pub(super) fn plan(source: &Arc<Source>, nodes: Vec<Node>, out: &mut Diagnostics) -> Option<Plan> {
    let texts = texts::check(source, &nodes);
    let mut root = Keys::root(source, nodes);
    if !version(source, &mut root, out) {
        return None;
    }
    out.0.extend(texts);
    let head = Head::read(source, &mut root, out);
    let var_tables = root.tables("var", out);
    let target_tables = root.tables("target", out);
    let probe_tables = root.tables("probe", out);
    let stage_written = root.has("stage");
    let stage_tables = root.tables("stage", out);
    let defaults = Defaults::read(&mut root, out);
    root.finish(&["engine", "plan", "var", "target", "probe", "defaults", "stage"], out);

    distinct(&var_tables, &probe_tables, out);
    let target_names = names(&target_tables);
    let targets = targets::read(target_tables, out);
    let probes = probes::read(probe_tables, &target_names, out);
    let vars = vars::read(var_tables, out);
    if !amount(source, stage_written, stage_tables.len(), out) {
        return None;
    }
    let stages = stages::read(stage_tables, &target_names, &defaults, out);
    let graph = graph(&stages, out);
    let index = Index {
        vars: index(vars.iter().map(|var| &var.name)),
        targets: index(targets.iter().map(|target| &target.name)),
        probes: index(probes.iter().map(|probe| &probe.name)),
        stages: index(stages.iter().map(|stage| &stage.name)),
    };
    let (source, Head { name, doc, search_path }) = (Arc::clone(source), head);
    Some(Plan { source, name, doc, search_path, vars, targets, probes, defaults, stages, graph: graph?, index })
}

/// `engine = 1`. Nothing else is said of a plan of an unknown version.
fn version(source: &Arc<Source>, root: &mut Keys, out: &mut Diagnostics) -> bool {
    let help = format!("write `engine = {VERSION}` in the first line");
    let Some(place) = root.key_place("engine") else {
        let found =
            Diagnostic::new("engine-version", "the plan does not say for which engine it was written", top(source));
        out.push(found.label("`engine` is missing").help(help));
        return !root.is_bare();
    };
    let errors = out.0.len();
    match root.int("engine", out) {
        Some(version) if version.value == VERSION => true,
        Some(version) => {
            let message = format!("the plan is of version {}, this engine knows version {VERSION} only", version.value);
            out.push(Diagnostic::new("engine-version", message, version.place).label("unknown version").help(help));
            false
        }
        None => {
            out.0.truncate(errors);
            let found = Diagnostic::new("engine-version", "`engine` is a version number", place);
            out.push(found.label("expected an integer").help(help));
            false
        }
    }
}

/// The first line of the file.
fn top(source: &Arc<Source>) -> Place {
    let end = source.text.find('\n').unwrap_or(source.text.len());
    Place::new(source, 0..end.min(80))
}

/// `[plan]`.
struct Head {
    name: String,
    doc: Option<String>,
    search_path: String,
}

impl Head {
    fn read(source: &Arc<Source>, root: &mut Keys, out: &mut Diagnostics) -> Head {
        let stem = std::path::Path::new(&source.path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let stem = stem.unwrap_or_default();
        let mut head = Head { name: stem, doc: None, search_path: "public".to_owned() };
        let mut written = None;
        if let Some(mut keys) = root.table("plan", out) {
            let named = keys.has("name");
            written = keys.text("name", out);
            head.doc = keys.text("doc", out).map(|doc| doc.value);
            if let Some(path) = keys.text("search_path", out) {
                head.search_path = words::search_path(path, out);
            }
            keys.finish(&stray::PLAN, out);
            if named && written.is_none() {
                return head;
            }
        }
        match written {
            Some(name) => {
                words::name(&name, "a plan", name::plain, out);
                head.name = name.value;
            }
            None if name::plain(&head.name).is_err() => {
                let message = format!("the file's name {} is no name for a plan", stray::quoted(&head.name));
                let found = Diagnostic::new("name-form", message, top(source)).label("`[plan] name` is missing");
                out.push(
                    found.help(
                        "write `name = \"...\"` below `[plan]`: a lower case letter, then letters, digits and `_`",
                    ),
                );
            }
            None => {}
        }
        head
    }
}

fn names(tables: &Tables) -> Vec<String> {
    tables.iter().map(|(name, _)| name.value.clone()).collect()
}

fn index<'n>(names: impl Iterator<Item = &'n Spot<String>>) -> HashMap<String, usize> {
    names.enumerate().map(|(at, name)| (name.value.clone(), at)).collect()
}

/// A probe and a variable of one name: `gap` in a predicate would be read as either.
fn distinct(vars: &Tables, probes: &Tables, out: &mut Diagnostics) {
    let probes: HashMap<&str, &Spot<String>> = probes.iter().map(|(name, _)| (name.value.as_str(), name)).collect();
    for (var, _) in vars {
        if let Some(probe) = probes.get(var.value.as_str()) {
            let message = format!("{} is both a variable and a probe", stray::quoted(&var.value));
            let found = Diagnostic::new("ambiguous-name", message, var.place.clone()).label("the variable");
            out.push(found.related(probe.place.clone(), "the probe").help("rename one of the two"));
        }
    }
}

fn amount(source: &Arc<Source>, written: bool, count: usize, out: &mut Diagnostics) -> bool {
    let found = |message: String| Diagnostic::new("stage-count", message, top(source));
    match count {
        // A `stage` of the wrong type was reported as such.
        0 if written && out.has_errors() => {}
        0 => {
            let help = "write a table `[stage.NAME]` with `kind`, `on`, `needs` and `guard`";
            out.push(found("the plan has no stage".to_owned()).label("no `[stage.NAME]` in this file").help(help));
        }
        _ if count > MOST_STAGES => {
            let message = format!("the plan has {count} stages, {MOST_STAGES} are possible");
            out.push(found(message).label("too many stages in this file").help("split the plan"));
            return false;
        }
        _ => {}
    }
    true
}

/// Resolves `needs`; unknown names were reported with the stages.
fn graph(stages: &[Stage], out: &mut Diagnostics) -> Option<Graph> {
    let at: HashMap<&str, usize> =
        stages.iter().enumerate().map(|(at, stage)| (stage.name.value.as_str(), at)).collect();
    let resolve = |(i, stage): (usize, &Stage)| {
        // Doubles and the stage itself were reported; here they would be a second cycle.
        let mut seen = HashSet::from([i]);
        let known = stage.needs.iter().filter_map(|need| at.get(need.value.as_str()).copied());
        known.filter(|need| seen.insert(*need)).collect()
    };
    let needs: Vec<Vec<usize>> = stages.iter().enumerate().map(resolve).collect();
    match Graph::build(&needs) {
        Ok(graph) => Some(graph),
        Err(cycle) => {
            out.push(circle(stages, &cycle));
            None
        }
    }
}

fn circle(stages: &[Stage], cycle: &[usize]) -> Diagnostic {
    const WHOLE: usize = 40;
    let name = |at: &usize| stages[*at].name.value.as_str();
    let mut path: Vec<&str> = cycle.iter().map(name).collect();
    path.extend(cycle.first().map(name));
    let shown = if path.len() <= WHOLE {
        path.join(" -> ")
    } else {
        let (head, tail) = (&path[..WHOLE / 2], &path[path.len() - 3..]);
        format!("{} -> ({} more) -> {}", head.join(" -> "), path.len() - head.len() - tail.len(), tail.join(" -> "))
    };
    let (first, second) = (&stages[cycle[0]], path[1]);
    let need = first.needs.iter().find(|need| need.value == second);
    let place = need.map_or_else(|| first.name.place.clone(), |need| need.place.clone());
    Diagnostic::new("cycle", format!("stages need each other in a circle: {shown}"), place)
        .label(format!("`{}` needs `{second}`", first.name.value))
        .help("remove one of these needs; `a -> b` reads `a needs b`")
}
