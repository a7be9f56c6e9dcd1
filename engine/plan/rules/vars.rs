//! `[var.NAME]`.

use super::super::keys::Keys;
use super::super::stray::quoted;
use super::super::{Spot, Var, VarKind};
use super::{Tables, words};
use crate::diag::{Diagnostic, Diagnostics};
use crate::name::{self, Refused};

const KEYS: [&str; 7] = ["type", "enum", "default", "doc", "min", "max", "sensitive"];

/// Words that mean something else in a template.
const TEMPLATE: [&str; 4] = ["none", "loop", "self", "if"];

pub(super) fn read(tables: Tables, out: &mut Diagnostics) -> Vec<Var> {
    tables.into_iter().filter_map(|(name, keys)| var(name, keys, out)).collect()
}

fn var(name: Spot<String>, mut keys: Keys, out: &mut Diagnostics) -> Option<Var> {
    words::name(&name, "a variable", form, out);
    let kind = kind(&mut keys, out);
    let bounds = (keys.int("min", out), keys.int("max", out));
    if let Some(kind) = &kind {
        check_bounds(&keys, kind, &bounds, out);
    }
    let sensitive = sensitive(&mut keys, kind.as_ref(), out);
    let doc = keys.text("doc", out).map(|doc| doc.value);
    let default = keys.scalar("default", out);
    keys.finish(&KEYS, out);
    let bounds = (bounds.0.map(|min| min.value), bounds.1.map(|max| max.value));
    let var = Var { name, kind: kind?, default, doc, bounds, sensitive };
    if let Some(default) = &var.default
        && let Err(why) = var.accept(&default.value)
    {
        let message = format!("the default of `var.{}` does not fit its type", var.name.value);
        // A report covers what stands at the place of a `literal-secret`.
        let code = if sensitive { "literal-secret" } else { "var-default" };
        let found = Diagnostic::new(code, message, default.place.clone()).label(why);
        out.push(found.help("write a value that fits, or remove `default` to ask for one"));
    }
    Some(var)
}

fn form(word: &str) -> Result<(), Refused> {
    if TEMPLATE.contains(&word) { Err(Refused::Ours) } else { name::readable(word) }
}

fn kind(keys: &mut Keys, out: &mut Diagnostics) -> Option<VarKind> {
    if keys.has("enum") {
        return choices(keys, out);
    }
    if !keys.has("type") {
        let help =
            "write `type = \"int\"`, or `text`, `bool`, `ident`, `timestamp`, `duration`, `packet`, or `enum = [...]`";
        words::missing(keys, "type", help, out);
    }
    let kinds = [
        VarKind::Int,
        VarKind::Text,
        VarKind::Bool,
        VarKind::Ident,
        VarKind::Timestamp,
        VarKind::Duration,
        VarKind::Packet,
    ];
    words::one_of(keys, "type", &kinds.map(|kind| (kind.written(), kind)), out)
}

fn choices(keys: &mut Keys, out: &mut Diagnostics) -> Option<VarKind> {
    let place = keys.key_place("enum")?;
    if let Some(kind) = keys.discard("type") {
        let found = Diagnostic::new("conflicting-keys", format!("`{}` has both `type` and `enum`", keys.path()), kind);
        out.push(found.label("the type is the list").related(place.clone(), "the list").help("remove `type`"));
    }
    let choices = keys.texts("enum", out)?;
    if choices.is_empty() {
        let found = Diagnostic::new("empty-list", format!("`enum` of `{}` has no value", keys.path()), place);
        out.push(found.label("nothing to choose from").help("write the texts it may be: `enum = [\"low\", \"high\"]`"));
    }
    words::doubled(&choices, "enum", out);
    Some(VarKind::Enum(choices.into_iter().map(|choice| choice.value).collect()))
}

fn check_bounds(keys: &Keys, kind: &VarKind, bounds: &(Option<Spot<i64>>, Option<Spot<i64>>), out: &mut Diagnostics) {
    let written = bounds.0.as_ref().or(bounds.1.as_ref());
    if let Some(bound) = written.filter(|_| *kind != VarKind::Int) {
        let message = format!("`{}` has bounds and is no `int`", keys.path());
        let found = Diagnostic::new("var-bounds", message, bound.place.clone());
        out.push(found.label("only an `int` has `min` and `max`").help("remove the bounds, or write `type = \"int\"`"));
    } else if let (Some(min), Some(max)) = bounds
        && min.value > max.value
    {
        let message = format!("`{}` can hold nothing: `min = {}`, `max = {}`", keys.path(), min.value, max.value);
        let found = Diagnostic::new("var-bounds", message, min.place.clone()).label("above `max`");
        out.push(found.related(max.place.clone(), "below `min`").help("exchange the two"));
    }
}

fn sensitive(keys: &mut Keys, kind: Option<&VarKind>, out: &mut Diagnostics) -> bool {
    let Some(flag) = keys.flag("sensitive", out).filter(|flag| flag.value) else { return false };
    if kind.is_some_and(|kind| *kind != VarKind::Text) {
        let message = format!("{} is sensitive and no `text`", quoted(keys.path()));
        let found = Diagnostic::new("var-sensitive", message, flag.place).label("only a `text` can be");
        out.push(
            found.help("write `type = \"text\"`: SQL reads it as `current_setting('engine.var.NAME')` and casts it"),
        );
    }
    true
}
