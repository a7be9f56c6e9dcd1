//! `allow = { "rule" = "reason" }`: findings of the linter that somebody has looked at.

use super::Parse;
use crate::diag::{Diagnostic, Place};
use crate::name;
use crate::plan::keys::Keys;
use crate::plan::{Spot, Value};
use crate::sql;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// squawk's name of the rule.
    pub rule: &'static str,
    /// Why its findings are no harm here.
    pub reason: String,
    /// Where the rule is named.
    pub place: Place,
}

impl Parse<'_> {
    /// `allow.RULE = "reason"`.
    pub fn allow(&mut self, keys: &mut Keys) -> Vec<Allow> {
        let mut all: Vec<Allow> = Vec::new();
        for (name, reason) in keys.scalars("allow", self.out) {
            let Some(allow) = self.allowed(name, reason) else { continue };
            // Two names of one rule.
            if let Some(first) = all.iter().find(|known| known.rule == allow.rule) {
                let message = format!("`{}` is allowed twice", allow.rule);
                let found = Diagnostic::new("doubled", message, allow.place).label("again");
                self.out.push(found.related(first.place.clone(), "first here").help("remove one of the two"));
                continue;
            }
            all.push(allow);
        }
        all
    }

    fn allowed(&mut self, name: Spot<String>, reason: Spot<Value>) -> Option<Allow> {
        let rule = match sql::lint_rule(&name.value) {
            Ok(rule) => Some(rule),
            Err(why) => {
                self.out.push(no_rule(&name, why));
                None
            }
        };
        let label = match &reason.value {
            Value::Text(text) if !text.trim().is_empty() => {
                let reason = text.trim().to_owned();
                return rule.map(|rule| Allow { rule, reason, place: name.place });
            }
            Value::Text(_) => "nothing is written here",
            _ => "not a text",
        };
        let message = format!("`allow.{}` has no reason", name.value);
        let found = Diagnostic::new("allow-without-reason", message, reason.place).label(label);
        self.out.push(found.help("say why what the rule warns of is no harm here: whoever reviews the plan reads it"));
        None
    }
}

fn no_rule(name: &Spot<String>, why: Option<&str>) -> Diagnostic {
    let said = &name.value;
    if let Some(why) = why {
        let found = Diagnostic::new("unknown-rule", format!("the rule `{said}` is not asked here"), name.place.clone());
        return found.label("finds nothing").help(format!("remove it: {why}"));
    }
    let near = name::nearest(said, sql::lint_rules());
    let help = near.map_or_else(
        || "name a rule as `engine check` does in its warnings; docs/reviewing.md lists them".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    let message = format!("there is no rule `{said}`");
    Diagnostic::new("unknown-rule", message, name.place.clone()).label("not a rule of the linter").help(help)
}
