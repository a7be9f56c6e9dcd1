//! Variables: defaults, `--vars-file`, `--var`, in that order; each value checked against its type.

use crate::clock;
use crate::diag::{Diagnostic, Diagnostics};
use crate::name;
use crate::plan::{Plan, Value, Var, VarKind};
use crate::render;
use crate::sql::Known;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values from the command line, as typed.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Names and texts; the last one of a name counts.
    pub vars: Vec<(String, String)>,
    /// Those of them that came from a variables file: what was typed for it, `--vars-file PATH`, by name.
    pub filed: BTreeMap<String, String>,
    /// What `run.date` means, `YYYYMMDD`: a resumed run keeps its own. `None`: today.
    pub date: Option<String>,
    /// SQL that is known: of plans that are compiled beside each other, both use what one has parsed.
    pub known: Arc<Known>,
    /// Whether the stages' SQL is parsed before anything else, and from where.
    pub ahead: Ahead,
}

/// From where SQL is parsed ahead. Two plans that are nearly the same, compiled at the same time with one `known`, begin at
/// both ends, so that each text is parsed once and not by both at the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ahead {
    /// Nothing is: each text is parsed where it is met.
    #[default]
    Not,
    /// From the first stage on.
    FromFirst,
    /// From the last stage backwards.
    FromLast,
}

impl Given {
    /// How a value was given, as it was typed: `--var NAME`, or `NAME of --vars-file PATH`.
    pub fn said(&self, name: &str) -> String {
        self.filed.get(name).map_or_else(|| format!("--var {name}"), |file| format!("`{name}` of {file}"))
    }
}

/// What to do about a name that is no variable of the plan.
fn known_names(plan: &Plan, key: &str) -> String {
    let names: Vec<&str> = plan.vars.iter().map(|var| var.name.value.as_str()).collect();
    match name::nearest(key, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "this plan has no variables".to_owned(),
        None => format!("this plan's variables are: {}", names.join(", ")),
    }
}

/// Values of all variables.
pub fn resolve(plan: &Plan, given: &Given, out: &mut Diagnostics) -> BTreeMap<String, Value> {
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    for (key, text) in &given.vars {
        let Some(var) = plan.var(key) else {
            let by = given.filed.get(key).map(|file| format!(" by {file}")).unwrap_or_default();
            let message = format!("`{key}` was given a value{by}, and this plan has no such variable");
            out.push(Diagnostic::nowhere("unknown-variable", message).help(known_names(plan, key)));
            continue;
        };
        match var.parse(text) {
            Ok(value) => drop(values.insert(key.clone(), value)),
            Err(why) => out.push(
                Diagnostic::new(
                    "variable-value",
                    format!("the value given for `{key}`: {why}"),
                    var.name.place.clone(),
                )
                .label("declared here"),
            ),
        }
    }
    for var in &plan.vars {
        let name = &var.name.value;
        if values.contains_key(name) || given.vars.iter().any(|(key, _)| key == name) {
            continue;
        }
        match &var.default {
            Some(default) => drop(values.insert(name.clone(), default.value.clone())),
            None => out.push(
                Diagnostic::new("variable-missing", format!("variable `{name}` has no value"), var.name.place.clone())
                    .label("no default")
                    .help(format!("give one: --var {name}={}", if var.sensitive { "env:NAME" } else { "VALUE" })),
            ),
        }
    }
    values
}

/// As templates see them.
/// A variable that has no value was reported as such: templates get a stand-in, so that it is reported once.
pub fn for_templates(plan: &Plan, values: &BTreeMap<String, Value>) -> BTreeMap<String, render::Value> {
    let mut values = values.clone();
    for var in &plan.vars {
        values.entry(var.name.value.clone()).or_insert_with(|| match var.kind {
            VarKind::Int => Value::Int(0),
            VarKind::Bool => Value::Bool(false),
            _ => Value::Text(var.name.value.clone()),
        });
    }
    let kind = |name: &str| plan.var(name).map(|v| v.kind.clone());
    let sensitive = |name: &str| plan.var(name).is_some_and(|v| v.sensitive);
    values
        .iter()
        .map(|(name, value)| {
            let value = match (value, kind(name)) {
                _ if sensitive(name) => render::Value::Sensitive,
                (Value::Int(i), _) => render::Value::Int(*i),
                (Value::Bool(b), _) => render::Value::Bool(*b),
                (Value::Text(t), Some(VarKind::Ident)) => render::Value::Ident(t.clone()),
                (Value::Text(t), _) => render::Value::Text(t.clone()),
            };
            (name.clone(), value)
        })
        .collect()
}

/// As predicates see them: PostgreSQL's type and the value's text. Of a sensitive one they see nothing.
pub fn texts(plan: &Plan, values: &BTreeMap<String, Value>) -> BTreeMap<String, (String, String)> {
    let text = |var: &Var, value: &Value| match var.kind {
        VarKind::Int => ("int8".to_owned(), value.to_string()),
        VarKind::Bool => ("bool".to_owned(), value.to_string()),
        VarKind::Timestamp => ("timestamptz".to_owned(), value.to_string()),
        VarKind::Duration => {
            let ms = clock::parse_duration(&value.to_string()).map_or(0, |d| d.as_millis());
            ("interval".to_owned(), format!("{ms} milliseconds"))
        }
        VarKind::Text | VarKind::Ident | VarKind::Packet | VarKind::Enum(_) => ("text".to_owned(), value.to_string()),
    };
    plan.vars
        .iter()
        .filter(|var| !var.sensitive)
        .filter_map(|v| Some((v.name.value.clone(), text(v, values.get(&v.name.value)?))))
        .collect()
}
