//! From a value to SQL text: the filters, and the formatter that refuses what did not go through one.

use super::inside::MARK;
use crate::name::quote;
use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value that a template may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An integer; may stand bare.
    Int(i64),
    /// A boolean; may stand bare.
    Bool(bool),
    /// A text; only through a filter.
    Text(String),
    /// An identifier; only through a filter.
    Ident(String),
    /// Never rendered: SQL reads it as a setting.
    Sensitive,
}

/// How the message of a refused bare value begins; `problem` looks for it.
pub(super) const BARE: &str = "bare value: ";

/// SQL text that a filter made. It is no string to the template engine: cutting, joining or repeating it gives
/// a plain string, which the formatter refuses.
#[derive(Debug)]
struct Sql(String);

impl Object for Sql {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The values as a template sees them; `a.b` is `b` of `a`.
pub(super) fn context(known: &BTreeMap<&str, &Value>) -> minijinja::Value {
    let mut top: BTreeMap<String, minijinja::Value> = BTreeMap::new();
    let mut objects: BTreeMap<&str, BTreeMap<String, minijinja::Value>> = BTreeMap::new();
    for (name, value) in known {
        match name.split_once('.') {
            Some((object, key)) => {
                objects.entry(object).or_default().insert(key.to_owned(), to_template(value));
            }
            None => {
                top.insert((*name).to_owned(), to_template(value));
            }
        }
    }
    top.extend(objects.into_iter().map(|(name, keys)| (name.to_owned(), minijinja::Value::from(keys))));
    minijinja::Value::from(top)
}

fn to_template(value: &Value) -> minijinja::Value {
    match value {
        Value::Int(i) => minijinja::Value::from(*i),
        Value::Bool(b) => minijinja::Value::from(*b),
        Value::Text(text) | Value::Ident(text) => minijinja::Value::from(text.as_str()),
        // Whoever reads it was refused before.
        Value::Sensitive => minijinja::Value::UNDEFINED,
    }
}

/// Writes what stands in `{{ }}`.
pub(super) fn write(out: &mut Output<'_>, value: &minijinja::Value, strings: bool) -> Result<(), Error> {
    let refuse = |what: &str| Err(Error::new(ErrorKind::InvalidOperation, format!("{BARE}{what}")));
    if let Some(sql) = value.downcast_object_ref::<Sql>() {
        let mark = if strings { String::new() } else { MARK.to_string() };
        return write!(out, "{mark}{}{mark}", sql.0).map_err(Error::from);
    }
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Bool => write!(out, "{}", value.is_true()).map_err(Error::from),
        ValueKind::Number if value.is_integer() && !strings && value.to_string().starts_with('-') => {
            write!(out, "{MARK}{value}{MARK}").map_err(Error::from)
        }
        ValueKind::Number if value.is_integer() => write!(out, "{value}").map_err(Error::from),
        ValueKind::Number => refuse("a number with a fraction"),
        ValueKind::String if strings => out.write_str(value.as_str().unwrap_or_default()).map_err(Error::from),
        ValueKind::String => refuse("a string"),
        ValueKind::None => refuse("none"),
        _ => refuse("neither a number nor a string"),
    }
}

/// The filters, all of them: four that make SQL, three that are harmless.
pub(super) fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter("literal", |value: &minijinja::Value| Ok::<_, Error>(sql(literal(value)?)));
    environment.add_filter("ident", |value: &minijinja::Value| Ok::<_, Error>(sql(quoted(value, quote::ident)?)));
    environment
        .add_filter("qualified", |value: &minijinja::Value| Ok::<_, Error>(sql(quoted(value, quote::qualified)?)));
    environment.add_filter("list", |value: &minijinja::Value| Ok::<_, Error>(sql(list(value)?)));
    environment.add_filter("upper", |value: &str| value.to_uppercase());
    environment.add_filter("lower", |value: &str| value.to_lowercase());
    environment.add_filter("length", |value: &minijinja::Value| value.len().ok_or_else(|| wrong("this has no length")));
}

fn sql(text: String) -> minijinja::Value {
    minijinja::Value::from_object(Sql(text))
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn literal(value: &minijinja::Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => quoted(value, quote::literal),
        ValueKind::Number if value.is_integer() => quote::literal(&value.to_string()).map_err(|r| wrong(r.to_string())),
        ValueKind::Bool => Ok(format!("'{}'", value.is_true())),
        _ => Err(wrong("`literal` takes a string, an integer or a boolean")),
    }
}

fn quoted(value: &minijinja::Value, quote: fn(&str) -> Result<String, quote::Refused>) -> Result<String, Error> {
    let text = value.as_str().ok_or_else(|| wrong("this filter takes a string"))?;
    quote(text).map_err(|refused| wrong(format!("this value cannot be written as SQL: {refused}")))
}

fn list(value: &minijinja::Value) -> Result<String, Error> {
    if value.kind() != ValueKind::Seq {
        return Err(wrong("`list` takes a list, such as `[a, b] | list`"));
    }
    let items: Vec<String> = value.try_iter()?.map(|item| literal(&item)).collect::<Result<_, _>>()?;
    if items.is_empty() { Err(wrong("an empty list has no SQL form")) } else { Ok(items.join(", ")) }
}
