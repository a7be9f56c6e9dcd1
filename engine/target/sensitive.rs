//! Values of sensitive variables: read when a run begins, told to each transaction as a setting, and hidden from all that
//! is kept or shown.

use super::url::secret;
use crate::event::{Exit, Failure};
use crate::plan::UrlRef;

/// A shorter value would stand in half of what is said, by chance, and is guessed at once.
const SHORTEST: usize = 8;

/// Names and values. `Debug` shows the names only.
#[derive(Clone, Default)]
pub struct Sensitive {
    values: Vec<(String, String)>,
}

impl std::fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(name, _)| name)).finish()
    }
}

impl Sensitive {
    /// Reads them from where they are: variable, and its text in plan or command line.
    ///
    /// # Errors
    /// It is not there, others may read it, or it is too short to be hidden (exit 1).
    pub fn read<'v>(variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> Result<Sensitive, Failure> {
        let mut values = Vec::new();
        for (name, text) in variables {
            let reference = UrlRef::parse(text)
                .ok_or_else(|| Failure::new(Exit::Io, format!("`var.{name}` does not say where its value is")))?;
            let value = secret(name, &reference)?;
            if value.len() < SHORTEST || value.contains('\0') {
                let why = if value.contains('\0') {
                    "holds a NUL".to_owned()
                } else {
                    format!("is shorter than {SHORTEST} bytes")
                };
                return Err(Failure::new(Exit::Io, format!("the value of `var.{name}` {why}"))
                    .fact(format!("it is kept in {text}"))
                    .fact("a value so short stands in other words by chance, so it could not be hidden")
                    .changed("nothing was changed; no run was started")
                    .next("then", "put a longer one there, or remove `sensitive` if it is no secret"));
            }
            values.push((name.to_owned(), value));
        }
        // A value that holds another one is hidden first.
        values.sort_by_key(|(name, value)| (std::cmp::Reverse(value.len()), name.clone()));
        Ok(Sensitive { values })
    }

    /// Names and values, for settings.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Is there one of that name?
    pub fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| known == name)
    }

    /// The first of these names that holds a value: such a value cannot be hidden.
    pub fn named<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Option<(&str, &'n str)> {
        let holds = |name: &str, value: &str| name.to_lowercase().contains(&value.to_lowercase());
        names.into_iter().find_map(|name| {
            let held = self.values.iter().find(|(_, value)| holds(name, value))?;
            Some((held.0.as_str(), name))
        })
    }

    /// A text without them; `None` when it holds none. Also as they stand in JSON and in an SQL literal, in other case,
    /// and any half of one: servers cut what they repeat.
    pub fn hide(&self, text: &str) -> Option<String> {
        let mut hidden: Option<String> = None;
        for (name, value) in &self.values {
            let word = format!("[sensitive {name}]");
            let json = serde_json::to_string(value).unwrap_or_default();
            let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
            // Whole first, or a half would leave the rest of a longer form.
            for form in [value.replace('\'', "''"), json, value.clone()] {
                let now = hidden.as_deref().unwrap_or(text);
                if now.contains(&form) {
                    hidden = Some(now.replace(&form, &word));
                }
            }
            if let Some(without) = without(hidden.as_deref().unwrap_or(text), value, &word) {
                hidden = Some(without);
            }
        }
        hidden
    }
}

/// `text` with `word` in place of every run of characters that is `value` or at least half of it, and no shorter than
/// `SHORTEST`.
fn without(text: &str, value: &str, word: &str) -> Option<String> {
    let (text, value): (Vec<char>, Vec<char>) = (text.chars().collect(), value.chars().collect());
    let least = SHORTEST.max(value.len() / 2).min(value.len());
    let mut out = String::with_capacity(text.len());
    let (mut at, mut found) = (0, false);
    while at < text.len() {
        match longest(&text[at..], &value) {
            run if run >= least => {
                found = true;
                out.push_str(word);
                at += run;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    found.then_some(out)
}

/// The longest part of `value`, from anywhere in it, that `text` begins with.
fn longest(text: &[char], value: &[char]) -> usize {
    let run = |from: usize| text.iter().zip(&value[from..]).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    (0..value.len()).map(run).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_hidden_and_the_longer_one_first() {
        let values = vec![
            ("long".to_owned(), "it's \"secret\" no 1".to_owned()),
            ("short".to_owned(), "secret\" no".to_owned()),
        ];
        let all = Sensitive { values };
        assert_eq!(all.hide("nothing here"), None);
        assert_eq!(all.hide("a it's \"secret\" no 1 b").as_deref(), Some("a [sensitive long] b"));
        assert_eq!(all.hide(r#"{"a":"it's \"secret\" no 1"}"#).as_deref(), Some(r#"{"a":"[sensitive long]"}"#));
        assert_eq!(all.hide("'it''s \"secret\" no 1'").as_deref(), Some("'[sensitive long]'"));
        assert_eq!(all.hide("At IT'S \"SECR it ends").as_deref(), Some("At [sensitive long] it ends"));
        assert_eq!(all.hide("it's no secret"), None);
        assert_eq!(all.named(["a", "the secret\" no"]), Some(("short", "the secret\" no")));
        assert_eq!(format!("{all:?}"), r#"["long", "short"]"#);
    }
}
