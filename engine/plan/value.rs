//! Variables take values: from `default`, `--var NAME=VALUE` and `--vars-file`, under one set of rules.

use super::{UrlRef, Value, Var, VarKind};
use crate::clock;
use std::time::Duration;

impl VarKind {
    /// The type as the plan writes it.
    pub fn written(&self) -> &'static str {
        match self {
            VarKind::Int => "int",
            VarKind::Text => "text",
            VarKind::Bool => "bool",
            VarKind::Ident => "ident",
            VarKind::Timestamp => "timestamp",
            VarKind::Duration => "duration",
            VarKind::Packet => "packet",
            VarKind::Enum(_) => "enum",
        }
    }
}

impl Var {
    /// Reads a value as given on the command line.
    ///
    /// # Errors
    /// Says why the text is no value of this variable.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.kind {
            VarKind::Int => Value::Int(text.parse().map_err(|_| format!("`{text}` is no integer of 64 bits"))?),
            VarKind::Bool => Value::Bool(text.parse().map_err(|_| format!("`{text}` is neither `true` nor `false`"))?),
            _ => Value::Text(text.to_owned()),
        };
        self.accept(&value).map(|()| value)
    }

    /// Does a value fit the variable's type and bounds?
    ///
    /// # Errors
    /// Says why not.
    pub fn accept(&self, value: &Value) -> Result<(), String> {
        match (&self.kind, value) {
            // The message must not repeat it.
            (_, Value::Text(text)) if self.sensitive && UrlRef::parse(text).is_some() => Ok(()),
            _ if self.sensitive => {
                Err("a sensitive value is not written down: `env:NAME` or `file:PATH` says where it is".to_owned())
            }
            (VarKind::Int, Value::Int(int)) => self.bounded(*int),
            (VarKind::Bool, Value::Bool(_)) => Ok(()),
            (VarKind::Int | VarKind::Bool, other) => Err(format!("`{other}` is not of type `{}`", self.kind.written())),
            (_, Value::Text(text)) if text.contains('\0') => Err("a NUL cannot stand in a text".to_owned()),
            (kind, Value::Text(text)) => text_fits(kind, text),
            (kind, other) => Err(format!("a value of type `{}` is a string, as in `\"{other}\"`", kind.written())),
        }
    }

    fn bounded(&self, int: i64) -> Result<(), String> {
        match self.bounds {
            (Some(min), _) if int < min => Err(format!("{int} is below `min = {min}`")),
            (_, Some(max)) if int > max => Err(format!("{int} is above `max = {max}`")),
            _ => Ok(()),
        }
    }
}

fn text_fits(kind: &VarKind, text: &str) -> Result<(), String> {
    match kind {
        VarKind::Ident if text.is_empty() => Err("an identifier is not empty".to_owned()),
        VarKind::Ident if text.len() > 63 => {
            Err(format!("an identifier has at most 63 bytes, this one {}", text.len()))
        }
        VarKind::Timestamp => clock::plus(text, Duration::ZERO)
            .map(|_| ())
            .map_err(|_| format!("`{text}` is no timestamp such as `2026-06-02T08:00:00Z`")),
        VarKind::Duration => clock::parse_duration(text).map(|_| ()),
        VarKind::Packet if text.trim().is_empty() => Err("a packet is its id or its folder".to_owned()),
        VarKind::Enum(words) if !words.iter().any(|word| word == text) => Err(format!(
            "`{text}` is none of {}",
            words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spot;
    use super::*;
    use crate::diag::{Place, Source};

    fn var(kind: VarKind) -> Var {
        let place = Place::new(&Source::new("x", ""), 0..0);
        let name = Spot { value: "v".to_owned(), place };
        Var { name, kind, default: None, doc: None, bounds: (Some(1), Some(9)), sensitive: false }
    }

    #[test]
    fn texts_become_values() {
        assert_eq!(var(VarKind::Int).parse("7"), Ok(Value::Int(7)));
        assert_eq!(var(VarKind::Bool).parse("true"), Ok(Value::Bool(true)));
        assert_eq!(var(VarKind::Ident).parse("My Db"), Ok(Value::Text("My Db".to_owned())));
        assert!(var(VarKind::Timestamp).parse("2026-06-02T08:00:00+02:00").is_ok());
        assert!(var(VarKind::Duration).parse("10m").is_ok());
        assert!(var(VarKind::Enum(vec!["a".to_owned()])).parse("a").is_ok());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let ident = "a".repeat(64);
        let bad = [
            (VarKind::Int, "0"),
            (VarKind::Int, "10"),
            (VarKind::Int, "1.0"),
            (VarKind::Bool, "yes"),
            (VarKind::Text, "a\0b"),
            (VarKind::Ident, ""),
            (VarKind::Ident, &ident),
            (VarKind::Timestamp, "yesterday"),
            (VarKind::Timestamp, "2026-06-02"),
            (VarKind::Duration, "10"),
            (VarKind::Packet, " "),
            (VarKind::Enum(vec!["a".to_owned()]), "b"),
        ];
        for (kind, text) in bad {
            assert!(var(kind.clone()).parse(text).is_err(), "{kind:?} took {text}");
        }
        assert!(var(VarKind::Text).accept(&Value::Int(5)).is_err());
        assert!(var(VarKind::Int).accept(&Value::Text("5".to_owned())).is_err());
    }
}
