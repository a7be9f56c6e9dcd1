//! What a kind needs to parse its keys: scripts, bounds, predicates, rejects; every problem with its place.

use super::lacks::Lacks;
use super::{Head, Kind, Stage};
use crate::diag::visible::printable;
use crate::diag::{Diagnostic, Diagnostics, Place, Source};
use crate::guard::Check;
use crate::name;
use crate::plan::keys::Keys;
use crate::plan::{NamedText, Plan, Spot, Target, Value};
use crate::proof::{Bound, Script, Work, reject};
use crate::render::lock::LockFile;
use crate::render::{self, Renderer};
use crate::sql::{self, Known, Name};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys of a reject. No case is called so: `permit` is the permitted twin in journals, `given` the set-up in the lock.
const REJECT: [&str; 5] = ["file", "given", "permit", "no_permit", "refuse"];

/// What later stages may know of an earlier one.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its head.
    pub head: Head,
    /// Its writing unit.
    pub work: Option<Arc<Work>>,
    /// Its ensures.
    pub ensures: Vec<Check>,
    /// Proofs it demands.
    pub demands: Vec<String>,
}

/// The table of keys being parsed belongs to one stage of one plan.
pub struct Parse<'p> {
    /// The plan.
    pub plan: &'p Plan,
    /// Index of the stage.
    pub stage: usize,
    /// Renders its templates.
    pub renderer: &'p Renderer,
    /// Stages upstream, compiled.
    pub built: &'p BTreeMap<String, Built>,
    /// Gates of all targets, parsed.
    pub gates: &'p BTreeMap<String, Vec<Check>>,
    /// SQL that was parsed before.
    pub known_sql: &'p Known,
    /// What stages lack upstream, as far as it was said.
    pub lacks: &'p Lacks,
    /// Where problems go.
    pub out: &'p mut Diagnostics,
    /// Renderings, for the lock.
    pub lock: &'p mut Vec<LockFile>,
}

/// Which names a predicate may use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope<'s> {
    /// Guards and gates: probes now, ended stages, variables.
    Guard,
    /// Ensures: also `before.x` and `wrote.TABLE` of these tables.
    Ensure(&'s [Bound]),
}

/// Keys of the envelope that all stages share.
const ENVELOPE: [&str; 9] = ["doc", "kind", "on", "needs", "guard", "no_guard", "timeout", "lock_timeout", "retry"];

impl Parse<'_> {
    /// All keys a stage of this kind may have, for suggestions.
    pub fn known(&self, kind: &Kind) -> Vec<&'static str> {
        kind.keys.iter().chain(&ENVELOPE).copied().collect()
    }

    /// The plan's stage.
    pub fn plan_stage(&self) -> &crate::plan::Stage {
        &self.plan.stages[self.stage]
    }

    /// The stage's target must be named and, if it is a clone, made by a stage upstream.
    pub fn needs_target(&mut self, head: &Head) -> Option<String> {
        if let Some(on) = &self.plan_stage().on
            && head.kind != "clone"
            && let Some(help) = self.not_made(&on.value)
        {
            let message = format!("stage `{}` runs on the clone `{}`, which is not there yet", head.name, on.value);
            let place = on.place.clone();
            self.out.push(Diagnostic::new("clone-not-made", message, place).label("not made by then").help(help));
        }
        if head.on.is_none() {
            let place = self.plan_stage().name.place.clone();
            self.out.push(
                Diagnostic::new(
                    "stage-without-target",
                    format!("stage `{}` of kind `{}` needs `on`", head.name, head.kind),
                    place,
                )
                .label("no target")
                .help("write `on = \"TARGET\"`"),
            );
        }
        head.on.clone()
    }

    /// The stage's target, which must be a clone.
    pub fn needs_clone(&mut self, head: &Head) -> Option<Target> {
        let on = self.needs_target(head)?;
        let target = self.plan.target(&on)?.clone();
        if target.clone_of.is_some() {
            return Some(target);
        }
        let place =
            self.plan_stage().on.as_ref().map_or_else(|| self.plan_stage().name.place.clone(), |s| s.place.clone());
        self.out.push(
            Diagnostic::new(
                "writes-outside-clone",
                format!("stage `{}` of kind `{}` cannot run on `{on}`, which is no clone", head.name, head.kind),
                place,
            )
            .label("not a clone")
            .help("stages write clones only; any other database is reached by a sealed packet and a `rollout`"),
        );
        None
    }

    /// `file`, `rollback`, `given`: a path under `templates/`, rendered, split and checked.
    pub fn script(&mut self, path: &Spot<String>, lock_name: &str, extra: &BTreeMap<String, Value>) -> Option<Script> {
        self.script_at(path, lock_name, extra, sql::Where::Clone)
    }

    /// The same, checked for where it will be sent.
    pub fn script_at(
        &mut self,
        path: &Spot<String>,
        lock_name: &str,
        extra: &BTreeMap<String, Value>,
        at: sql::Where,
    ) -> Option<Script> {
        let extra = values(extra);
        let rendered = match self.renderer.file(&path.value, &path.place, &extra) {
            Ok(rendered) => rendered,
            Err(diagnostic) => {
                self.out.push(diagnostic);
                return None;
            }
        };
        let shown = format!("sql/{}/{lock_name}", self.plan.name);
        let source = Source::new(&shown, rendered.text.clone());
        let (statements, mut problems) = self.known_sql.check(&source, at);
        // The author edits the template: point there when rendering left its text as it is.
        let as_written = rendered.text == rendered.template.text;
        if as_written {
            for problem in &mut problems.0 {
                if let Some(place) = &mut problem.place {
                    place.source = Arc::clone(&rendered.template);
                }
            }
        }
        let broken = problems.has_errors();
        self.out.0.extend(problems.0);
        if broken {
            return None;
        }
        self.lock.push(LockFile { name: lock_name.to_owned(), text: rendered.text.clone() });
        Some(Script {
            template: rendered.template.path.clone(),
            sha256: rendered.sha256.clone(),
            text: rendered.text,
            statements,
            as_written,
        })
    }

    /// `writes.TABLE = N` or `"all"`.
    pub fn writes(&mut self, keys: &mut Keys) -> Vec<Bound> {
        let mut bounds = Vec::new();
        for (table, most) in keys.scalars("writes", self.out) {
            let most_rows = match &most.value {
                Value::Int(n) if *n >= 0 => Some(u64::try_from(*n).expect("invariant: not negative")),
                Value::Text(word) if word == "all" => None,
                other => {
                    self.out.push(
                        Diagnostic::new(
                            "write-bound",
                            format!("`writes.{}` is {other}", table.value),
                            most.place.clone(),
                        )
                        .label("not a bound")
                        .help("write the most row changes as a number, or \"all\""),
                    );
                    continue;
                }
            };
            self.table_name(&table);
            bounds.push(Bound { table: table.value, most: most_rows, place: table.place.shown() });
        }
        bounds
    }

    fn table_name(&mut self, table: &Spot<String>) {
        if sql::table_ref(&table.value).is_err() {
            self.out.push(
                Diagnostic::new("table-name", format!("`{}` is no table name", table.value), table.place.clone())
                    .label("here")
                    .help("write `table` or `\"schema.table\"`"),
            );
        }
    }

    /// `ensure.NAME = "..."`.
    pub fn ensures(&mut self, keys: &mut Keys, writes: &[Bound]) -> Vec<Check> {
        let texts: Vec<NamedText> = keys.predicates("ensure", self.out);
        texts.iter().filter_map(|text| self.check(text, Scope::Ensure(writes))).collect()
    }

    /// `done_when = "..."`.
    pub fn done_when(&mut self, keys: &mut Keys) -> Option<Check> {
        let place = keys.key_place("done_when");
        let text = keys.text("done_when", self.out)?;
        let name = Spot { value: "done_when".to_owned(), place: place.unwrap_or_else(|| text.place.clone()) };
        self.check(&NamedText { name, text }, Scope::Guard)
    }

    /// Parses a predicate and resolves its names.
    pub fn check(&mut self, text: &NamedText, scope: Scope<'_>) -> Option<Check> {
        let predicate = match self.known_sql.predicate(&text.text.value, &text.text.place) {
            Ok(predicate) => predicate,
            Err(problems) => {
                self.out.0.extend(problems.0);
                return None;
            }
        };
        let mut whole = true;
        for used in &predicate.uses {
            if let Some(problem) = self.wrong_name(&used.name, &predicate.place_of(used), scope) {
                self.out.push(problem);
                whole = false;
            }
        }
        whole.then(|| Check { name: text.name.value.clone(), predicate, place: text.name.place.shown() })
    }

    fn wrong_name(&self, used: &Name, place: &Place, scope: Scope<'_>) -> Option<Diagnostic> {
        let error = |code, message: String| Some(Diagnostic::new(code, message, place.clone()).label("here"));
        match used {
            Name::Before(_) | Name::Wrote(_) if scope == Scope::Guard => {
                error("ensure-only-name", "`before.x` and `wrote.TABLE` can be read by ensures only".to_owned())
                    .map(|d| d.help("a guard is asked before the stage has done anything: name the probe itself"))
            }
            Name::Now(probe) | Name::Before(probe) => self.wrong_probe(probe, place),
            Name::Wrote(table) => {
                let Scope::Ensure(writes) = scope else { return None };
                if writes.iter().any(|bound| bound.table == *table) {
                    return None;
                }
                let near = name::nearest(table, writes.iter().map(|b| b.table.as_str()));
                let help = near.map_or_else(
                    || format!("declare `writes.{table} = N` in this stage"),
                    |near| format!("did you mean `wrote.{near}`?"),
                );
                error("unknown-name", format!("this stage does not declare `writes.{table}`")).map(|d| d.help(help))
            }
            Name::Var(var) => {
                if let Some(known) = self.plan.var(var) {
                    let message = format!("`{var}` is sensitive, and what a predicate reads is kept and shown");
                    let problem = error("sensitive-in-a-predicate", message).filter(|_| known.sensitive);
                    return problem.map(|d| d.help("ask in a probe or in the stage's SQL what has to hold of it"));
                }
                let near = name::nearest(var, self.plan.vars.iter().map(|v| v.name.value.as_str()));
                let help =
                    near.map_or_else(|| format!("declare `[var.{var}]`"), |near| format!("did you mean `var.{near}`?"));
                error("unknown-name", format!("there is no variable `{var}`")).map(|d| d.help(help))
            }
            Name::At { stage, probe } => self.wrong_stage(stage, place).or_else(|| self.wrong_probe(probe, place)),
        }
    }

    fn wrong_probe(&self, probe: &str, place: &Place) -> Option<Diagnostic> {
        let Some(known) = self.plan.probe(probe) else {
            let near = name::nearest(probe, self.plan.probes.iter().map(|p| p.name.value.as_str()));
            let help =
                near.map_or_else(|| format!("declare `[probe.{probe}]`"), |near| format!("did you mean `{near}`?"));
            return Some(
                Diagnostic::new("unknown-name", format!("there is no probe `{probe}`"), place.clone())
                    .label("not a probe of this plan")
                    .help(help),
            );
        };
        if self.says_itself(&known.on.value) {
            return None;
        }
        let help = self.not_made(&known.on.value)?;
        Some(
            Diagnostic::new(
                "probe-before-clone",
                format!("probe `{probe}` reads the clone `{}`, which is not there yet", known.on.value),
                place.clone(),
            )
            .label("cannot be read here")
            .help(help),
        )
    }

    /// `[stage.x.reject.NAME]`.
    pub fn rejects(&mut self, keys: &mut Keys, target: &str) -> Vec<reject::Reject> {
        let tables = keys.tables("reject", self.out);
        if let Some((first, _)) = tables.first()
            && self.plan.target(target).is_some_and(|t| t.clone_of.is_none())
        {
            self.out.push(
                Diagnostic::new(
                    "reject-outside-clone",
                    format!("rejects cannot run on `{target}`"),
                    first.place.clone(),
                )
                .label("not a clone")
                .help("a reject tries to write, so it runs on a clone only"),
            );
            return Vec::new();
        }
        tables.into_iter().filter_map(|(name, keys)| self.reject(name, keys)).collect()
    }

    /// A name that is a part of addresses and of files of the lock: plain, and none of `taken`, which stand in the same place.
    fn part(&mut self, name: &Spot<String>, what: &str, taken: &[&str]) {
        let (code, why) = match name::plain(&name.value) {
            Err(why) => ("name-form", why.to_string()),
            Ok(()) if taken.contains(&name.value.as_str()) => ("name-reserved", "a key of every reject".to_owned()),
            Ok(()) => return,
        };
        let message = format!("`{}` is no name for {what}", printable(&name.value, &[]));
        self.out.push(
            Diagnostic::new(code, message, name.place.clone())
                .label(why)
                .help("rename it: addresses and files of the lock are called by it"),
        );
    }

    fn reject(&mut self, name: Spot<String>, mut keys: Keys) -> Option<reject::Reject> {
        self.part(&name, "a reject", &[]);
        let stage = self.plan_stage().name.value.clone();
        let prefix = format!("{stage}.reject.{}", name.value);
        let file = keys.text("file", self.out);
        let given = keys.text("given", self.out);
        let no_permit = keys.text("no_permit", self.out);
        let has_permit = keys.has("permit");
        let permit: BTreeMap<String, Value> =
            keys.scalars("permit", self.out).into_iter().map(|(k, v)| (k.value, v.value)).collect();
        let refusals = keys.tables("refuse", self.out);
        keys.finish(&REJECT, self.out);
        let mut problem = |code, message: String, help: &str| {
            self.out.push(Diagnostic::new(code, message, name.place.clone()).label("here").help(help));
        };
        if has_permit == no_permit.is_some() {
            problem(
                "reject-without-permit",
                format!("reject `{}` needs either `permit` or `no_permit`", name.value),
                "give values with which the same statement must pass, or say in `no_permit` why none is permitted",
            );
        }
        if refusals.is_empty() {
            problem(
                "reject-without-refuse",
                format!("reject `{}` refuses nothing", name.value),
                "add `refuse.NAME = { ... }`",
            );
        }
        let Some(file) = file else {
            problem("reject-without-file", format!("reject `{}` has no `file`", name.value), "name a template");
            return None;
        };
        let given = given.and_then(|path| self.script(&path, &format!("{prefix}.given.sql"), &BTreeMap::new()));
        let permit = if has_permit {
            self.script(&file, &format!("{prefix}.permit.sql"), &permit).map(|s| (s, permit))
        } else {
            None
        };
        let base = permit.as_ref().map(|(_, values)| values.clone()).unwrap_or_default();
        let refuse =
            refusals.into_iter().filter_map(|(case, keys)| self.refusal(&file, &prefix, &base, case, keys)).collect();
        Some(reject::Reject { name: name.value, given, permit: permit.map(|(script, _)| script), refuse })
    }

    fn refusal(
        &mut self,
        file: &Spot<String>,
        prefix: &str,
        base: &BTreeMap<String, Value>,
        case: Spot<String>,
        mut keys: Keys,
    ) -> Option<reject::Refusal> {
        self.part(&case, "a case of a reject", &REJECT);
        let mut values = base.clone();
        for (key, value) in keys.scalars("with", self.out) {
            if !base.is_empty() && !base.contains_key(&key.value) {
                let near = name::nearest(&key.value, base.keys().map(String::as_str));
                let help = near.map_or_else(
                    || format!("`permit` has {}", base.keys().cloned().collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean `with.{near}`?"),
                );
                let message = format!("`with.{}` replaces nothing of `permit`", key.value);
                self.out.push(
                    Diagnostic::new("unknown-key", message, key.place).label("not a value of `permit`").help(help),
                );
                continue;
            }
            values.insert(key.value, value.value);
        }
        let error = keys.text("error", self.out);
        let constraint = keys.text("constraint", self.out).map(|c| c.value);
        keys.finish(&["with", "error", "constraint"], self.out);
        let Some(error) = error else {
            self.out.push(
                Diagnostic::new(
                    "refuse-without-error",
                    format!("refusal `{}` names no `error`", case.value),
                    case.place,
                )
                .label("which SQLSTATE?")
                .help("write `error = \"23503\"`, the five characters the database must answer with"),
            );
            return None;
        };
        let form = error.value.len() == 5 && error.value.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        if !form || crate::event::evidence::is_accident(&error.value) {
            let why = if form { "means an accident, never a refusal" } else { "is no SQLSTATE" };
            self.out.push(
                Diagnostic::new("refuse-error", format!("`{}` {why}", error.value), error.place)
                    .label("here")
                    .help("name the SQLSTATE of the constraint or trigger that must refuse, such as 23503"),
            );
            return None;
        }
        let script = self.script(file, &format!("{prefix}.{}.sql", case.value), &values)?;
        Some(reject::Refusal { name: case.value, script, error: error.value, constraint })
    }

    /// A key that has its own issue and is refused for now.
    pub fn not_yet(&mut self, keys: &mut Keys, key: &str, why: &str) {
        if let Some(place) = keys.key_place(key) {
            keys.discard(key);
            self.out.push(
                Diagnostic::new("not-yet", format!("`{key}` is not available yet"), place).label("not yet").help(why),
            );
        }
    }

    /// Names of stages, each of which must be upstream; answers what is known of them.
    pub fn upstream_stages<'n>(&mut self, names: &'n [Spot<String>]) -> Vec<(&'n Spot<String>, Built)> {
        let mut found = Vec::new();
        for name in names {
            if let Some(problem) = self.wrong_stage(&name.value, &name.place) {
                self.out.push(problem);
            } else if let Some(built) = self.built.get(&name.value) {
                found.push((name, built.clone()));
            }
        }
        found
    }
}

/// A plan's values as the renderer takes them.
fn values(plan: &BTreeMap<String, Value>) -> BTreeMap<String, render::Value> {
    plan.iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Int(i) => render::Value::Int(*i),
                Value::Bool(b) => render::Value::Bool(*b),
                Value::Text(t) => render::Value::Text(t.clone()),
            };
            (name.clone(), value)
        })
        .collect()
}

/// What a compiled stage shows to those downstream.
pub fn built(stage: &dyn Stage) -> Built {
    Built {
        head: stage.head().clone(),
        work: stage.work(),
        ensures: stage.ensures().to_vec(),
        demands: stage.demands(),
    }
}
