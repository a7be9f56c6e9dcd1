//! What a plan holds, as addresses and values: everything that has a meaning, with its defaults filled in, and nothing that
//! is only layout. A key that this page does not know is a fact all the same, so that no change goes unseen.

use super::section::Section;
use super::{Side, Unchanged};
use crate::compile::{self, Workflow};
use crate::diag::Place;
use crate::plan::keys::{Leaf, LeafValue};
use crate::plan::{Access, Plan, Policy, ReaderPolicy, Stage, Target, Tls, UrlRef, VarKind};
use crate::sql;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A value, as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A predicate.
    Predicate(String),
    /// A number of which more is more risk; `None`: any number.
    Most(Option<u64>),
    /// A time of which more is more risk.
    Longest(Duration),
    /// How often it was found; more is more risk.
    Times(usize),
    /// A word of a list, the safest first: how far down it stands.
    Rank(usize, &'static str),
    /// A word of which any other is another.
    Word(String),
    /// It is there or not.
    There,
    /// SQL.
    Script(String),
}

impl Value {
    /// As it is shown.
    pub(super) fn shown(&self) -> String {
        match self {
            Value::Predicate(text) => sql::one_line(text),
            Value::Word(text) => one_line(text),
            Value::Most(Some(most)) => format!("at most {most}"),
            Value::Most(None) => "all".to_owned(),
            Value::Longest(time) => show_duration(*time),
            Value::Times(1) => "1 place".to_owned(),
            Value::Times(times) => format!("{times} places"),
            Value::Rank(_, word) => (*word).to_owned(),
            Value::There => "there".to_owned(),
            Value::Script(text) => crate::digest::hex(text.as_bytes())[..8].to_owned(),
        }
    }
}

/// Both values as they are shown; with all their blanks where nothing else tells them apart.
pub(super) fn both_shown(old: &Value, new: &Value) -> (String, String) {
    match (old, new, old.shown(), new.shown()) {
        (Value::Word(old), Value::Word(new), before, after) if before == after => (old.clone(), new.clone()),
        (_, _, before, after) => (before, after),
    }
}

/// A time in the largest unit that divides it.
pub(super) fn show_duration(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{ms}ms"), |(unit, word)| format!("{}{word}", ms / unit))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One fact.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub section: Section,
    pub value: Value,
    /// What the file says, where `value` has the new name of a stage.
    pub was: Option<Value>,
    place: Option<Place>,
}

impl Fact {
    /// The value as the file says it.
    pub(super) fn said(&self) -> &Value {
        self.was.as_ref().unwrap_or(&self.value)
    }
}

/// All facts of one side.
#[derive(Debug, Default)]
pub(super) struct Facts<'w> {
    pub all: BTreeMap<String, Fact>,
    /// Stages, targets, probes and variables: tables that can be new or gone as a whole.
    pub owners: BTreeMap<String, Owner>,
    workflow: Option<&'w Workflow>,
    prefix: (&'w str, &'w str),
}

/// A table that facts belong to.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub section: Section,
    place: Place,
}

/// The table that an address belongs to, as in `stage.a_seed`; when that is new or gone, so is the fact.
pub(super) fn owner(address: &str) -> &str {
    let second = address.match_indices('.').nth(1).map_or(address.len(), |(at, _)| at);
    &address[..second]
}

impl<'w> Facts<'w> {
    /// What this side holds; nothing when there is no plan.
    pub(super) fn of(side: &Side<'w>) -> Facts<'w> {
        let mut facts = Facts { prefix: side.prefix, workflow: side.workflow, ..Facts::default() };
        let Some(workflow) = side.workflow else { return facts };
        facts.plan(&workflow.plan);
        facts.vars(&workflow.plan);
        workflow.plan.targets.iter().for_each(|target| facts.target(target, workflow));
        facts.probes(workflow);
        workflow.plan.stages.iter().for_each(|stage| facts.stage(stage));
        facts.scripts(workflow);
        facts.lints(workflow);
        facts
    }

    /// `file:line` of a fact, or the template it was rendered from.
    pub(super) fn place(&self, address: &str) -> Option<String> {
        let place = match self.all.get(address) {
            Some(fact) => {
                if let Some(template) = self.template(address, fact) {
                    return Some(format!("{}templates/{template}", self.prefix.1));
                }
                fact.place.as_ref()
            }
            None => self.owners.get(address).map(|owner| &owner.place),
        }?;
        let shown = place.shown();
        Some(match shown.strip_prefix(self.prefix.0) {
            Some(rest) if !self.prefix.0.is_empty() => format!("{}{rest}", self.prefix.1),
            _ => shown,
        })
    }

    /// The template that a stage's SQL comes from, below `templates/`.
    fn template(&self, address: &str, fact: &Fact) -> Option<String> {
        let (Value::Script(_), Some(rest)) = (&fact.value, address.strip_prefix("stage.")) else { return None };
        let parts: Vec<&str> = rest.split('.').collect();
        let key = match parts.as_slice() {
            [_, "sql"] => vec!["file"],
            [_, "reject", reject, "given"] => vec!["reject", *reject, "given"],
            [_, "reject", reject, ..] => vec!["reject", *reject, "file"],
            [_, key, "sql"] => vec![*key],
            _ => return None,
        };
        let (_, stage) = self.workflow?.plan.stage(parts[0])?;
        stage.body.leaves().into_iter().find(|leaf| leaf.path == key).map(|leaf| leaf.value.line())
    }

    /// A table in one line.
    pub(super) fn summary(&self, address: &str) -> String {
        let (table, name) = address.split_once('.').unwrap_or((address, ""));
        let Some(plan) = self.workflow.map(|workflow| &workflow.plan) else { return String::new() };
        let said = |key: &str| self.all.get(&format!("{address}.{key}")).map(|fact| fact.value.shown());
        match table {
            "stage" => plan.stage(name).map(|(_, stage)| stage_line(stage)),
            "target" => plan.target(name).map(|target| match &target.clone_of {
                Some(origin) => format!("a clone of {}", origin.value),
                None => format!(
                    "access {}, gates {}, never {}",
                    said("access").unwrap_or_default(),
                    target.gates.len(),
                    target.never.len()
                ),
            }),
            "probe" => plan.probe(name).map(|probe| {
                let sql =
                    self.workflow.and_then(|workflow| workflow.probes.get(name)).map(|query| sql::one_line(&query.sql));
                format!("on {}: {}", probe.on.value, sql.unwrap_or_default())
            }),
            _ => said("type").map(|kind| match said("default") {
                Some(default) => format!("{kind}, by default {default}"),
                None => kind,
            }),
        }
        .unwrap_or_default()
    }

    /// How many things of `before` are still there, of each section of which none changed.
    pub(super) fn counts(&self, before: &Facts<'_>, changed: impl Fn(Section) -> bool) -> Vec<Unchanged> {
        let mut counts: BTreeMap<Section, usize> = BTreeMap::new();
        for (address, fact) in self.all.iter().filter(|(address, _)| before.all.contains_key(*address)) {
            let last = address.rsplit('.').next().unwrap_or("");
            // A probe, a rollback or a case of a reject is one thing, whatever number of keys it has.
            let keys = match fact.section {
                Section::Probe | Section::Sql => last != "sql",
                Section::Rollback => last == "sql",
                Section::Reject => !matches!(fact.value, Value::Script(_)),
                Section::Target => last != "url",
                Section::Proof => matches!(fact.value, Value::Rank(..) | Value::Script(_)),
                _ => false,
            };
            let script = fact.section == Section::Sql && matches!(fact.value, Value::Script(_));
            *counts.entry(fact.section).or_default() += usize::from(script || !keys);
        }
        let unchanged = counts.into_iter().filter(|(section, count)| *count > 0 && !changed(*section));
        unchanged.filter_map(|(section, count)| Some(Unchanged { what: section.counted(count)?, count })).collect()
    }

    fn add(&mut self, address: String, section: Section, value: Value, place: Option<&Place>) {
        self.all.insert(address, Fact { section, value, was: None, place: place.cloned() });
    }

    fn word(&mut self, address: String, section: Section, text: Option<impl Into<String>>, place: Option<&Place>) {
        if let Some(text) = text {
            self.add(address, section, Value::Word(text.into()), place);
        }
    }

    fn own(&mut self, address: &str, section: Section, place: &Place) {
        self.owners.insert(address.to_owned(), Owner { section, place: place.clone() });
    }

    fn plan(&mut self, plan: &Plan) {
        self.word("plan.name".to_owned(), Section::Doc, Some(&plan.name), None);
        self.word("plan.doc".to_owned(), Section::Doc, plan.doc.clone(), None);
        self.word("plan.search_path".to_owned(), Section::Setting, Some(&plan.search_path), None);
    }

    fn vars(&mut self, plan: &Plan) {
        for var in &plan.vars {
            let (at, place) = (format!("var.{}", var.name.value), Some(&var.name.place));
            let kind = match &var.kind {
                VarKind::Enum(words) => one_of(words),
                other => format!("{other:?}").to_lowercase(),
            };
            let default = var.default.as_ref().map(|default| default.value.to_string());
            self.own(&at, Section::Var, &var.name.place);
            self.word(format!("{at}.type"), Section::Var, Some(kind), place);
            self.word(format!("{at}.default"), Section::Var, default, var.default.as_ref().map(|d| &d.place));
            self.word(format!("{at}.min"), Section::Var, var.bounds.0.map(|bound| bound.to_string()), place);
            self.word(format!("{at}.max"), Section::Var, var.bounds.1.map(|bound| bound.to_string()), place);
            self.add(format!("{at}.sensitive"), Section::Setting, flag(var.sensitive, true), place);
            self.word(format!("{at}.doc"), Section::Doc, var.doc.clone(), place);
        }
    }

    fn target(&mut self, target: &Target, workflow: &Workflow) {
        let name = &target.name.value;
        let (at, place) = (format!("target.{name}"), Some(&target.name.place));
        let access = if target.access == Access::Write { Value::Rank(1, "write") } else { Value::Rank(0, "read") };
        self.own(&at, Section::Target, &target.name.place);
        self.word(format!("{at}.url"), Section::Target, Some(url(&target.url.value)), Some(&target.url.place));
        let maker = target.maker_url.as_ref();
        self.word(format!("{at}.maker_url"), Section::Target, maker.map(|m| url(&m.value)), maker.map(|m| &m.place));
        let origin = target.clone_of.as_ref();
        self.word(format!("{at}.clone_of"), Section::Target, origin.map(|o| o.value.clone()), origin.map(|o| &o.place));
        let database = target.database.as_ref().map(|d| &d.place);
        self.word(format!("{at}.database"), Section::Target, workflow.databases.get(name), database);
        self.word(format!("{at}.golden"), Section::Target, target.golden.as_ref().map(|g| g.value.clone()), place);
        self.word(format!("{at}.expires"), Section::Timeout, target.expires.map(show_duration), place);
        let policy = if target.policy == Policy::Strict { (0, "strict") } else { (1, "attributed") };
        let reader = if target.reader == ReaderPolicy::Confined { (0, "confined") } else { (1, "attested") };
        let tls = match target.tls {
            Some(Tls::VerifyFull) => (0, "verify-full"),
            None => (1, "verify-full over a network"),
            Some(Tls::Unverified) => (2, "unverified"),
            Some(Tls::Plain) => (3, "plain"),
        };
        self.add(format!("{at}.access"), Section::Target, access, place);
        for (key, (rank, word)) in [("policy", policy), ("reader", reader), ("tls", tls)] {
            self.add(format!("{at}.{key}"), Section::Target, Value::Rank(rank, word), place);
        }
        self.add(format!("{at}.parallel"), Section::Target, flag(target.parallel, false), place);
        self.add(format!("{at}.watch"), Section::Target, flag(target.watch, true), place);
        for gate in &target.gates {
            let value = Value::Predicate(gate.text.value.clone());
            self.add(format!("{at}.gate.{}", gate.name.value), Section::Gate, value, Some(&gate.name.place));
        }
        for table in &target.never {
            self.add(format!("{at}.never.{}", key(&table.value)), Section::Never, Value::There, Some(&table.place));
        }
    }

    fn probes(&mut self, workflow: &Workflow) {
        for probe in &workflow.plan.probes {
            let name = &probe.name.value;
            let sql = workflow.probes.get(name).map_or(probe.sql.value.as_str(), |query| query.sql.as_str());
            let (at, place) = (format!("probe.{name}"), Some(&probe.name.place));
            self.own(&at, Section::Probe, &probe.name.place);
            self.word(format!("{at}.on"), Section::Probe, Some(&probe.on.value), Some(&probe.on.place));
            self.add(format!("{at}.sql"), Section::Probe, Value::Script(format!("{sql}\n")), Some(&probe.sql.place));
            self.word(format!("{at}.doc"), Section::Doc, probe.doc.clone(), place);
        }
    }

    fn stage(&mut self, stage: &Stage) {
        let (at, place) = (format!("stage.{}", stage.name.value), Some(&stage.name.place));
        let leaves = stage.body.leaves();
        self.own(&at, Section::Stage, &stage.name.place);
        self.word(format!("{at}.kind"), Section::Kind, Some(&stage.kind.value), Some(&stage.kind.place));
        self.word(format!("{at}.doc"), Section::Doc, stage.doc.clone(), place);
        let on = stage.on.as_ref();
        self.word(format!("{at}.on"), Section::On, on.map(|on| on.value.clone()), on.map(|on| &on.place));
        for need in &stage.needs {
            self.add(format!("{at}.needs.{}", need.value), Section::Needs, Value::There, Some(&need.place));
        }
        for guard in &stage.guards {
            let value = Value::Predicate(guard.text.value.clone());
            self.add(format!("{at}.guard.{}", guard.name.value), Section::Guard, value, Some(&guard.name.place));
        }
        let reason = stage.no_guard.as_ref();
        self.word(format!("{at}.no_guard"), Section::Reason, reason.map(|r| r.value.clone()), reason.map(|r| &r.place));
        self.add(format!("{at}.timeout"), Section::Timeout, Value::Longest(stage.timeout), place);
        self.add(format!("{at}.lock_timeout"), Section::Timeout, Value::Longest(stage.lock_timeout), place);
        self.add(format!("{at}.retry"), Section::Retry, Value::Most(Some(stage.retry.into())), place);
        if stage.kind.value == "fingerprint" {
            self.add(format!("{at}.level"), Section::Proof, level("content"), place);
        }
        for leaf in &leaves {
            self.leaf(&at, leaf);
        }
    }

    /// A key of a kind.
    fn leaf(&mut self, at: &str, leaf: &Leaf) {
        let path: Vec<&str> = leaf.path.iter().map(String::as_str).collect();
        let (address, line, place) = (format!("{at}.{}", leaf.shown), leaf.value.line(), Some(&leaf.place));
        let number = || Value::Most(line.parse().ok());
        match path.as_slice() {
            // Where a template lies is no meaning: what it renders is. What is allowed stands in `lints`.
            ["file"]
            | ["allow", _]
            | ["reject", _, "file" | "given"]
            | ["reject", _, "permit", ..]
            | ["reject", _, "refuse", _, "with", ..] => {}
            ["traffic"] => self.add(address, Section::Proof, Value::There, place),
            ["rollback"] => self.add(address, Section::Rollback, Value::There, place),
            ["method"] if line == "stream" => {}
            ["transaction"] if line == "true" => {}
            ["writes", _] => self.add(address, Section::Writes, number(), place),
            ["ensure", _] => self.add(address, Section::Ensure, Value::Predicate(line), place),
            ["done_when"] => self.add(address, Section::DoneWhen, Value::Predicate(line), place),
            ["batch", "until"] => self.add(address, Section::Batch, Value::Predicate(line), place),
            ["batch", "rows" | "most"] => self.add(address, Section::Batch, number(), place),
            ["max_lock_wait"] => match crate::clock::parse_duration(&line) {
                Ok(time) => self.add(address, Section::Timeout, Value::Longest(time), place),
                Err(_) => self.word(address, Section::Timeout, Some(line), place),
            },
            ["level"] => self.add(address, Section::Proof, level(&line), place),
            ["equals" | "baseline"] => self.word(address, Section::Proof, Some(line), place),
            ["jobs" | "method"] | ["batch", "pause"] => self.word(address, Section::Retry, Some(line), place),
            ["no_rollback"] | ["reject", _, "no_permit"] => self.word(address, Section::Reason, Some(line), place),
            ["reject", ..] => self.word(address, Section::Reject, Some(line), place),
            ["for" | "packet"] => self.word(address, Section::Target, Some(line), place),
            _ => match &leaf.value {
                LeafValue::List(items) => {
                    for item in items {
                        self.add(format!("{address}.{}", key(item)), listed(&path), Value::There, place);
                    }
                }
                _ => self.word(address, Section::Setting, Some(line), place),
            },
        }
    }

    /// What the linter finds, allowed or not, by rule: so an `allow` hides nothing that is new.
    fn lints(&mut self, workflow: &Workflow) {
        for (stage, lints) in workflow.stages.iter().zip(compile::lints(workflow)) {
            let at = format!("stage.{}", stage.head().name);
            for allow in &stage.head().allow {
                let (address, reason) = (format!("{at}.allow.{}", allow.rule), Some(&allow.reason));
                self.word(address, Section::Allow, reason, Some(&allow.place));
            }
            for lint in &lints.found {
                let times = lints.found.iter().filter(|other| other.rule == lint.rule).count();
                let address = format!("{at}.lint.{}", lint.rule);
                if !self.all.contains_key(&address) {
                    self.add(address, Section::Lint, Value::Times(times), Some(&lint.place));
                }
            }
        }
    }

    /// The lock's files of each stage: `STAGE.sql`, `STAGE.rollback.sql`, `STAGE.reject.NAME.CASE.sql`.
    fn scripts(&mut self, workflow: &Workflow) {
        for file in &workflow.lock {
            let Some(name) = file.name.strip_suffix(".sql") else { continue };
            let (stage, rest) = name.split_once('.').unwrap_or((name, ""));
            let Some((_, known)) = workflow.plan.stage(stage) else { continue };
            let (section, address) = match rest {
                "" => (Section::Sql, format!("stage.{stage}.sql")),
                "rollback" => (Section::Rollback, format!("stage.{name}.sql")),
                _ if rest.starts_with("reject.") => (Section::Reject, format!("stage.{name}")),
                _ => (Section::Proof, format!("stage.{name}.sql")),
            };
            self.add(address, section, Value::Script(file.text.clone()), Some(&known.name.place));
        }
    }
}

/// What a list of a kind's keys is about.
fn listed(path: &[&str]) -> Section {
    match path {
        ["alters"] => Section::Alters,
        ["prove" | "monotonic"] => Section::Proof,
        ["ignore" | "exclude" | "acknowledge"] => Section::Ignore,
        ["of"] => Section::Sql,
        _ => Section::Setting,
    }
}

/// What a fingerprint looks at, the deepest first.
fn level(word: &str) -> Value {
    match word {
        "content" => Value::Rank(0, "content"),
        "counts" => Value::Rank(1, "counts"),
        _ => Value::Rank(2, "schema"),
    }
}

/// Yes or no, of which `safe` is the safer one.
fn flag(value: bool, safe: bool) -> Value {
    Value::Rank(usize::from(value != safe), if value { "true" } else { "false" })
}

fn url(url: &UrlRef) -> String {
    match url {
        UrlRef::Env(name) => format!("env:{name}"),
        UrlRef::File(path) => format!("file:{path}"),
    }
}

/// The words that a variable may be: in quotes, for a word may hold a comma, and in order, for theirs means nothing.
fn one_of(words: &[String]) -> String {
    let words: BTreeSet<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("one of {}", words.into_iter().collect::<Vec<_>>().join(", "))
}

/// A free name as a part of an address.
fn key(name: &str) -> String {
    if crate::name::plain(name).is_ok() { name.to_owned() } else { format!("\"{name}\"") }
}

/// A whole stage in one line.
fn stage_line(stage: &Stage) -> String {
    let leaves = stage.body.leaves();
    let count = |first: &str| leaves.iter().filter(|leaf| leaf.path.first().is_some_and(|key| key == first)).count();
    let on = stage.on.as_ref().map(|on| format!(" on {}", on.value)).unwrap_or_default();
    let mut words = vec![format!("{}{on}", stage.kind.value)];
    let mut say = |count: usize, what: &str| {
        words.extend((count > 0).then(|| format!("{count} {what}{}", if count == 1 { "" } else { "s" })));
    };
    say(stage.guards.len(), "guard");
    say(count("ensure"), "ensure");
    let proofs = leaves.iter().find(|leaf| leaf.path == ["prove"]).map(|leaf| leaf.value.line());
    words.extend(proofs.map(|proofs| format!("proofs {proofs}")));
    words.join(", ")
}
