//! Plan and kinds become a `Workflow`: variables valued, templates rendered, predicates resolved, digests taken.
//!
//! Everything that can be known without a database is known here, and everything that is wrong is said in one go.
//! Start at `workflow`.

mod ahead;
mod gates;
mod lints;
mod lock;
mod vars;
mod watched;
mod writers;

pub use lints::{Lint, StageLints, lint_warnings, lints};
pub use lock::{lock_dir, stale};
pub use vars::{Ahead, Given};

use crate::diag::{Diagnostic, Diagnostics, Source};
use crate::digest;
use crate::event::StageBrief;
use crate::guard::Check;
use crate::name;
use crate::plan::{self, Plan, Stage as PlanStage};
use crate::probe::Query;
use crate::render::lock::LockFile;
use crate::render::{Renderer, Value};
use crate::sql::{self, Known, Name};
use crate::stage::{self, Built, Head, KINDS, Kind, Parse, Stage};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// A plan, ready to be bound to its databases.
#[derive(Debug)]
pub struct Workflow {
    /// The plan.
    pub plan: Plan,
    /// Its stages, by the plan's index.
    pub stages: Vec<Box<dyn Stage>>,
    /// Probes, rendered.
    pub probes: BTreeMap<String, Query>,
    /// Gates by target.
    pub gates: BTreeMap<String, Vec<Check>>,
    /// Variables: type and text.
    pub vars: BTreeMap<String, (String, String)>,
    /// Variables as they would be typed again.
    pub typed: BTreeMap<String, String>,
    /// What `run.date` means, `YYYYMMDD`.
    pub date: String,
    /// Name of each clone's database.
    pub databases: BTreeMap<String, String>,
    /// Probes read when a stage ends, by stage.
    pub end_reads: BTreeMap<String, Vec<String>>,
    /// The lock's files.
    pub lock: Vec<LockFile>,
    /// Where the lock lives.
    pub lock_dir: PathBuf,
    /// Digest of each input: plan, templates, variables.
    pub inputs: BTreeMap<String, String>,
    /// Bytes of plan and templates, for the run's folder and the packet.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Stages as the journal names them.
    pub briefs: Vec<StageBrief>,
    /// Digest over all inputs and the engine's version.
    pub genesis: String,
    /// Warnings.
    pub warnings: Diagnostics,
}

/// Compiles a plan file.
///
/// # Errors
/// All that is wrong with it.
pub fn workflow(path: &Path, given: &Given) -> Result<Workflow, Diagnostics> {
    let (plan, mut out) = plan::load(path)?;
    let root = root_of(path);
    let values = vars::resolve(&plan, given, &mut out);
    let rendered_vars = vars::for_templates(&plan, &values);
    let renderer = Renderer::new(root.join("templates"), rendered_vars);
    let date = given.date.clone().unwrap_or_else(crate::clock::today);
    let databases = databases(&plan, &renderer, &date, &mut out);
    let probes = probes(&plan, &renderer, &mut out);
    let gates = gates::parse(&plan, &mut out);
    ahead::parse(&plan, &renderer, given);

    let mut lock = Vec::new();
    let mut built: BTreeMap<String, Built> = BTreeMap::new();
    let mut stages: Vec<Option<Box<dyn Stage>>> = (0..plan.stages.len()).map(|_| None).collect();
    let lacks = stage::Lacks::default();
    for index in plan.graph.order() {
        let mut cx = Parse {
            plan: &plan,
            stage: *index,
            renderer: &renderer,
            built: &built,
            gates: &gates,
            known_sql: &given.known,
            lacks: &lacks,
            out: &mut out,
            lock: &mut lock,
        };
        let Some(compiled) = compile_stage(&mut cx, &plan.stages[*index]) else { continue };
        built.insert(plan.stages[*index].name.value.clone(), stage::built(compiled.as_ref()));
        stages[*index] = Some(compiled);
    }
    writers::unordered(&plan, &built, &lacks, &mut out);
    watched::unread(&plan, &stages, &mut out);
    warn_unsteady(&built, &given.known, &mut out);
    if out.has_errors() {
        return Err(plan::cap(out));
    }
    let stages: Vec<Box<dyn Stage>> = stages.into_iter().flatten().collect();
    let vars_text = vars::texts(&plan, &values);
    let typed = values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    let end_reads = end_reads(&stages);
    lock.push(lock::predicates(&plan, &probes, &stages, &gates));
    let files = files(&plan, &renderer, &root);
    let inputs = inputs(&files, &vars_text);
    let briefs = briefs(&plan, &stages, (&probes, &vars_text), &lock);
    let genesis = genesis(&inputs);
    let lock_dir = lock_dir(&root, &plan.name);
    out.sort();
    Ok(Workflow {
        stages,
        probes,
        gates,
        vars: vars_text,
        typed,
        date,
        databases,
        end_reads,
        lock,
        lock_dir,
        inputs,
        files,
        briefs,
        genesis,
        warnings: out,
        plan,
    })
}

/// What a journal begins with: the digest of the engine's version and all inputs, in order of their names.
pub fn genesis(inputs: &BTreeMap<String, String>) -> String {
    let version = [env!("CARGO_PKG_VERSION").as_bytes()];
    digest::hex_parts(version.into_iter().chain(inputs.iter().flat_map(|(k, v)| [k.as_bytes(), v.as_bytes()])))
}

impl Workflow {
    /// A stage's index by name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.plan.stage(name).map(|(index, _)| index)
    }
}

/// The folder that holds `templates/` and `sql/`: the plan's own, or the one above.
pub fn root_of(plan: &Path) -> PathBuf {
    // `./x.toml` lies where `x.toml` does.
    let plan: PathBuf = plan.components().filter(|part| *part != Component::CurDir).collect();
    let dir = plan.parent().unwrap_or(Path::new(""));
    if dir.join("templates").is_dir() {
        return dir.to_owned();
    }
    match dir.parent() {
        Some(above) => above.to_owned(),
        None => PathBuf::from(".."),
    }
}

fn compile_stage(cx: &mut Parse<'_>, stage: &PlanStage) -> Option<Box<dyn Stage>> {
    let Some(kind) = KINDS.iter().find(|k| k.name == stage.kind.value) else {
        let near = name::nearest(&stage.kind.value, KINDS.iter().map(|k| k.name));
        let all: Vec<&str> = KINDS.iter().map(|k| k.name).collect();
        let help =
            near.map_or_else(|| format!("kinds are {}", all.join(", ")), |near| format!("did you mean `{near}`?"));
        cx.out.push(
            Diagnostic::new(
                "unknown-kind",
                format!("there is no kind `{}`", stage.kind.value),
                stage.kind.place.clone(),
            )
            .label("not a kind")
            .help(help),
        );
        return None;
    };
    let head = head(cx, stage, kind);
    (kind.parse)(head, stage.body.clone(), cx)
}

fn head(cx: &mut Parse<'_>, stage: &PlanStage, kind: &'static Kind) -> Head {
    let guards = stage.guards.iter().filter_map(|guard| cx.check(guard, stage::Scope::Guard)).collect();
    Head {
        name: stage.name.value.clone(),
        kind: kind.name,
        on: stage.on.as_ref().map(|on| on.value.clone()),
        guards,
        timeout: stage.timeout,
        lock_timeout: stage.lock_timeout,
        retry: stage.retry,
        allow: Vec::new(),
    }
}

fn databases(plan: &Plan, renderer: &Renderer, date: &str, out: &mut Diagnostics) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let run_date = [("run.date".to_owned(), Value::Text(date.to_owned()))].into();
    for target in &plan.targets {
        let Some(database) = &target.database else { continue };
        match renderer.plain("database", &database.value, &database.place, &run_date) {
            Ok(name) if crate::name::quote::ident(&name).is_ok() => drop(names.insert(target.name.value.clone(), name)),
            Ok(name) => out.push(
                Diagnostic::new("database-name", format!("`{name}` cannot name a database"), database.place.clone())
                    .label("here")
                    .help("a database name is not empty and has at most 63 bytes"),
            ),
            Err(problem) => out.push(problem),
        }
    }
    names
}

fn probes(plan: &Plan, renderer: &Renderer, out: &mut Diagnostics) -> BTreeMap<String, Query> {
    let mut queries = BTreeMap::new();
    for probe in &plan.probes {
        let name = &probe.name.value;
        match renderer.inline(name, &probe.sql.value, &probe.sql.place, &BTreeMap::new()) {
            Ok(rendered) => {
                // Rendering that left the text alone lets the caret stand in the plan itself.
                let text = rendered.text.trim().trim_end_matches(';').to_owned();
                let source = Source::new(format!("probe {name}"), text.clone());
                let mut problems = sql::check_probe(&source);
                if text.to_lowercase().contains("engine.var.") {
                    let message = format!("probe `{name}` reads a sensitive variable, and readings are kept and shown");
                    let found = Diagnostic::new("sensitive-in-a-predicate", message, probe.sql.place.clone());
                    problems.push(found.label("here").help("ask in the stage's SQL what has to hold of it"));
                }
                for problem in &mut problems.0 {
                    if let Some(place) = problem.place.as_mut().filter(|_| rendered.text == probe.sql.value) {
                        *place = sql::locate(&probe.sql.place, &text, place.span.clone());
                    }
                }
                out.0.extend(problems.0);
                let target = probe.on.value.clone();
                queries.insert(name.clone(), Query { name: name.clone(), target, sql: text, doc: probe.doc.clone() });
            }
            Err(problem) => out.push(problem),
        }
    }
    queries
}

/// Every `STAGE.probe` of any predicate, so that the stage reads it when it ends.
fn end_reads(stages: &[Box<dyn Stage>]) -> BTreeMap<String, Vec<String>> {
    let mut reads: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let checks = stages.iter().flat_map(|s| s.head().guards.iter().chain(s.ensures()).chain(s.other_checks()));
    for used in checks.flat_map(|check| &check.predicate.uses) {
        if let Name::At { stage, probe } = &used.name {
            reads.entry(stage.clone()).or_default().insert(probe.clone());
        }
    }
    reads.into_iter().map(|(stage, probes)| (stage, probes.into_iter().collect())).collect()
}

/// Warns where a proved stage calls something that answers differently each time.
fn warn_unsteady(built: &BTreeMap<String, Built>, known: &Known, out: &mut Diagnostics) {
    for one in built.values().filter(|b| !b.demands.is_empty()) {
        let Some(work) = &one.work else { continue };
        for statement in &work.forward.statements {
            for (span, function) in known.nondeterministic(statement) {
                let source = Source::new(&work.forward.template, work.forward.text.clone());
                let (what, help) = if function.starts_with("LIMIT") {
                    (
                        "a proved stage has a LIMIT without ORDER BY, and takes whichever rows come first".to_owned(),
                        "add ORDER BY over columns that are unique",
                    )
                } else {
                    (
                        format!("a proved stage calls `{function}`, which answers differently each time"),
                        "use `current_setting('engine.as_of')::timestamptz`, one instant for the whole run",
                    )
                };
                let place = crate::diag::Place::new(&source, span);
                out.push(Diagnostic::new("nondeterministic", what, place).label("here").help(help).warning());
            }
        }
    }
}

/// Plan and templates by a name that is relative to the root, whatever way the plan was named.
fn files(plan: &Plan, renderer: &Renderer, root: &Path) -> BTreeMap<String, Vec<u8>> {
    let relative = |path: &str| Path::new(path).strip_prefix(root).map_or(path.to_owned(), |p| p.display().to_string());
    let mut files: BTreeMap<String, Vec<u8>> = renderer
        .sources()
        .into_iter()
        .map(|source| (relative(&source.path), source.text.clone().into_bytes()))
        .collect();
    let name =
        Path::new(&plan.source.path).file_name().map_or("plan.toml".into(), |n| n.to_string_lossy().into_owned());
    files.insert(name, plan.source.text.clone().into_bytes());
    files
}

fn inputs(files: &BTreeMap<String, Vec<u8>>, vars: &BTreeMap<String, (String, String)>) -> BTreeMap<String, String> {
    let mut inputs: BTreeMap<String, String> =
        files.iter().map(|(name, bytes)| (name.clone(), digest::hex(bytes))).collect();
    for (name, (kind, text)) in vars {
        inputs.insert(format!("var.{name}"), digest::hex_parts([kind.as_bytes(), text.as_bytes()]));
    }
    inputs
}

fn briefs(plan: &Plan, stages: &[Box<dyn Stage>], read: Read<'_>, lock: &[LockFile]) -> Vec<StageBrief> {
    // No name of a stage has a dot in it, and every file of its own has one behind it.
    let mut of_stage: BTreeMap<&str, Vec<&LockFile>> = BTreeMap::new();
    for file in lock {
        of_stage.entry(file.name.split('.').next().unwrap_or("")).or_default().push(file);
    }
    let brief = |index: &usize| {
        let (stage, compiled) = (&plan.stages[*index], &stages[*index]);
        let name = &stage.name.value;
        let own = of_stage.get(name.as_str()).into_iter().flatten();
        let promises = format!("{}{}", promises(compiled.as_ref(), read), surroundings(plan, stage, compiled.as_ref()));
        StageBrief {
            name: name.clone(),
            kind: compiled.head().kind.to_owned(),
            doc: stage.doc.clone(),
            on: stage.on.as_ref().map(|on| on.value.clone()),
            needs: stage.needs.iter().map(|n| n.value.clone()).collect(),
            reasons: reasons(stage),
            demands: compiled.demands(),
            digest: digest::hex_parts(own.map(|f| f.text.as_bytes()).chain([promises.as_bytes()])),
        }
    };
    plan.graph.order().iter().map(brief).collect()
}

/// What predicates read: probes, and variables with their types and texts.
type Read<'r> = (&'r BTreeMap<String, Query>, &'r BTreeMap<String, (String, String)>);

/// What a stage's work rests on: the stages it comes after, and where its names are looked up.
fn surroundings(plan: &Plan, stage: &PlanStage, compiled: &dyn Stage) -> String {
    let needs: BTreeSet<&str> = stage.needs.iter().map(|need| need.value.as_str()).collect();
    let path = if compiled.work().is_some() { plan.search_path.as_str() } else { "" };
    let target =
        compiled.head().on.as_deref().and_then(|on| plan.target(on)).filter(|_| compiled.head().kind == "clone");
    let made = target.map_or(String::new(), |target| {
        let texts =
            [&target.clone_of, &target.database, &target.golden].map(|spot| spot.as_ref().map(|spot| &spot.value));
        format!(" made of {texts:?}")
    });
    format!(" needs {needs:?} names in {path}{made}")
}

/// What a stage promises, beside its SQL: the same text means the same promise. Time-outs are no promise.
fn promises(stage: &dyn Stage, (probes, vars): Read<'_>) -> String {
    let asked = |check: &Check| -> String {
        let text = |used: &sql::Use| match &used.name {
            Name::Now(probe) | Name::Before(probe) | Name::At { probe, .. } => {
                probes.get(probe).map(|query| format!(" {} {};", query.target, query.sql))
            }
            Name::Var(name) => vars.get(name).map(|(_, value)| format!(" {value};")),
            Name::Wrote(_) => None,
        };
        check.predicate.uses.iter().filter_map(text).collect()
    };
    let checks = |all: &[Check]| -> String {
        all.iter().map(|c| format!("{} {};{}", c.name, c.predicate.text, asked(c))).collect()
    };
    let mut text = format!("{} {:?} ", stage.head().kind, stage.head().on);
    text.push_str(&checks(&stage.head().guards));
    text.push_str(&checks(stage.ensures()));
    text.push_str(&checks(stage.other_checks()));
    text.push_str(&stage.demands().join(" "));
    text.push_str(&stage.promise());
    for (name, query) in stage.promised_probes().iter().filter_map(|name| probes.get_key_value(name)) {
        text.push_str(&format!(" {name} {} {};", query.target, query.sql));
    }
    if let Some(work) = stage.work() {
        for bound in &work.writes {
            text.push_str(&format!(" writes {} {:?}", bound.table, bound.most));
        }
        if work.alone {
            text.push_str(" outside of a transaction");
        }
        if let Some(batch) = &work.batch {
            text.push_str(&format!(" batches of {} at most {}", batch.rows, batch.most));
        }
        text.push_str(&format!(" alters {:?} ignore {:?} never {:?}", work.alters, work.ignore, work.never));
    }
    text
}

fn reasons(stage: &PlanStage) -> Vec<String> {
    let mut reasons: Vec<String> = stage.no_guard.iter().map(|r| format!("no guard: {}", r.value)).collect();
    let mut body = stage.body.clone();
    let mut ignored = Diagnostics::default();
    reasons.extend(body.text("no_rollback", &mut ignored).map(|r| format!("no rollback: {}", r.value)));
    for (name, mut keys) in body.tables("reject", &mut ignored) {
        reasons.extend(
            keys.text("no_permit", &mut ignored).map(|r| format!("no permitted twin of {}: {}", name.value, r.value)),
        );
    }
    reasons
}
