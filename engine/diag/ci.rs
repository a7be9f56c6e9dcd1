//! Diagnostics in the forms that CI systems read: annotations of GitHub Actions, and SARIF 2.1.0.

use super::visible::{printable, visible};
use super::{Diagnostic, Place};
use serde_json::{Value, json};

/// One line of GitHub Actions' workflow commands: an annotation at the place, in the pull request.
pub fn github(diagnostic: &Diagnostic) -> String {
    let level = if diagnostic.warning { "warning" } else { "error" };
    let mut properties: Vec<String> = Vec::new();
    if let Some(place) = &diagnostic.place {
        let [from, to] = corners(place);
        properties.push(format!("file={}", property(&place.source.path)));
        properties.push(format!("line={},endLine={}", from.0, to.0));
        // Columns are shown within one line only.
        if from.0 == to.0 {
            properties.push(format!("col={},endColumn={}", from.1, to.1));
        }
    }
    properties.push(format!("title={}", property(diagnostic.code)));
    format!("::{level} {}::{}", properties.join(","), escaped(&words(diagnostic)))
}

/// One SARIF log of one run with all of them.
pub fn sarif(diagnostics: &[Diagnostic]) -> Value {
    let mut rules: Vec<&str> = diagnostics.iter().map(|d| d.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let rules: Vec<Value> = rules.into_iter().map(|code| json!({ "id": code })).collect();
    let results: Vec<Value> = diagnostics.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "engine", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(diagnostic: &Diagnostic) -> Value {
    let mut result = json!({
        "ruleId": diagnostic.code,
        "level": if diagnostic.warning { "warning" } else { "error" },
        "message": { "text": words(diagnostic) },
    });
    let location = |place: &Place, label: &str| {
        let [from, to] = corners(place);
        let mut location = json!({ "physicalLocation": {
            "artifactLocation": { "uri": uri(&place.source.path) },
            "region": { "startLine": from.0, "startColumn": from.1, "endLine": to.0, "endColumn": to.1 },
        } });
        if !label.is_empty() {
            location["message"] = json!({ "text": label });
        }
        location
    };
    if let Some(place) = &diagnostic.place {
        result["locations"] = json!([location(place, "")]);
    }
    if let Some((place, label)) = &diagnostic.related {
        result["relatedLocations"] = json!([location(place, label)]);
    }
    result
}

/// Message, what stands under the caret, and what to do: one sentence a line.
fn words(diagnostic: &Diagnostic) -> String {
    let mut text = diagnostic.message.clone();
    if !diagnostic.label.is_empty() {
        text.push_str(&format!("\n{}", diagnostic.label));
    }
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("\nhelp: {help}"));
    }
    printable(&text, &['\n'])
}

/// Line and column of its start and of the first character behind it, both from 1, columns in characters.
fn corners(place: &Place) -> [(usize, usize); 2] {
    let text = &place.source.text;
    let corner = |at: usize| {
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        (place.source.line(at), 1 + text[line..at].chars().count())
    };
    [corner(place.span.start), corner(place.span.end.max(place.span.start))]
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What steers a terminal is shown; every other character stays, for a path has to be that of the file.
fn property(text: &str) -> String {
    let steers = |c: char| c.is_control() && !"\r\n".contains(c);
    let text: String =
        text.chars().map(|c| visible(c).filter(|_| steers(c)).unwrap_or_else(|| c.to_string())).collect();
    escaped(&text).replace(':', "%3A").replace(',', "%2C")
}

/// A path as a relative reference: what may not stand in one is escaped.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    fn diagnostic() -> Diagnostic {
        let source = Source::new("plans/a b,c.toml", "a = 1\nä = 2 % of\nlast = 3\n");
        let other = Place::new(&source, 0..1);
        Diagnostic::new("unknown-key", "unknown key `ä`: 100%", Place::new(&source, 6..8))
            .label("not a key")
            .related(other, "as here")
            .help("say what it is\nor leave it out")
    }

    #[test]
    fn an_annotation_escapes_what_would_end_it() {
        assert_eq!(
            github(&diagnostic()),
            "::error file=plans/a b%2Cc.toml,line=2,endLine=2,col=1,endColumn=2,title=unknown-key::unknown key `ä`: 100%25%0Anot \
             a key%0Ahelp: say what it is%0Aor leave it out"
        );
        let nowhere = Diagnostic::nowhere("unreadable", "no such file").warning();
        assert_eq!(github(&nowhere), "::warning title=unreadable::no such file");
        let source = Source::new("x", "one\ntwo\n");
        let both = Diagnostic::new("c", "m", Place::new(&source, 1..6));
        assert_eq!(github(&both), "::error file=x,line=1,endLine=2,title=c::m");
    }

    #[test]
    fn sarif_has_rules_places_and_related_places() {
        let log = sarif(&[diagnostic(), Diagnostic::nowhere("unreadable", "no such file").warning(), diagnostic()]);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"], json!([{ "id": "unknown-key" }, { "id": "unreadable" }]));
        let result = &run["results"][0];
        assert_eq!((&result["ruleId"], &result["level"]), (&json!("unknown-key"), &json!("error")));
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "plans/a%20b%2Cc.toml");
        assert_eq!(place["region"], json!({ "startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 2 }));
        assert_eq!(result["relatedLocations"][0]["message"]["text"], "as here");
        assert_eq!(run["results"][1]["level"], "warning");
        assert!(run["results"][1]["locations"].is_null());
    }
}
