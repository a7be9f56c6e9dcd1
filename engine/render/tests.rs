//! What renders, what is refused, and where the caret stands.

use super::*;

fn vars() -> BTreeMap<String, Value> {
    [
        ("scan", Value::Text("it's".into())),
        ("table", Value::Ident("Odd".into())),
        ("full", Value::Text("shop.orders".into())),
        ("rows", Value::Int(-5)),
        ("on", Value::Bool(true)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn inline(text: &str) -> Result<String, Diagnostic> {
    let source = Source::new("p.toml", format!("sql = \"{text}\""));
    let place = Place::new(&source, 7..7 + text.len());
    Renderer::new("/nowhere".into(), vars()).inline("probe.x", text, &place, &BTreeMap::new()).map(|r| r.text)
}

/// Code, bytes under the caret, help.
fn refused(text: &str) -> (&'static str, String, String) {
    let d = inline(text).err().unwrap_or_else(|| panic!("renders: {text}"));
    let place = d.place.expect("a place");
    (d.code, place.source.text[place.span].to_owned(), d.help.unwrap_or_default())
}

#[test]
fn values_go_through_filters() {
    for (template, sql) in [
        ("{{ scan | literal }}", "'it''s'"),
        ("{{ table | ident }}.{{ full | qualified }}", "\"Odd\".shop.orders"),
        ("LIMIT {{ rows }} {{ on }} {{ rows + 1 }}", "LIMIT -5 true -4"),
        ("IN ({{ ['a', scan, 3] | list }})", "IN ('a', 'it''s', '3')"),
        ("{{ rows | literal }} {{ scan | upper | literal }} {{ scan | length }}", "'-5' 'IT''S' 4"),
        ("{% if on %}a{% else %}b{% endif %}\n", "a\n"),
        ("{% for x in ['p', 'q'] %}{{ x | ident }}{% if not loop.last %}, {% endif %}{% endfor %}", "p, q"),
        ("{% set q = scan ~ '!' %}{{ q | literal }}", "'it''s!'"),
        ("{% if scan == 'x' %}{{ scan }}{% endif %}-- {# note #}", "-- "),
        ("no template at all\n\n", "no template at all\n\n"),
    ] {
        assert_eq!(inline(template).expect(template), sql, "{template}");
    }
}

#[test]
fn bare_strings_are_refused_however_they_come() {
    for template in [
        "{{ scan }}",
        "{{ 'x' }}",
        "{{ scan | upper }}",
        "{{ scan ~ scan }}",
        "{{ (scan | literal) ~ '' }}",
        "{{ rows ~ '' }}",
        "{% macro m() %}x{% endmacro %}{{ m() }}",
        "{% set q %}x{% endset %}{{ q }}",
        "{{ 1.5 }}",
        "{{ 1 / 2 }}",
        "{{ none }}",
        "{{ [1] }}",
        "{{ {'a': 1} }}",
    ] {
        assert_eq!(refused(template).0, "template-bare-string", "{template}");
    }
    let (_, under, help) = refused("a {{ rows }} {{ scan }}");
    assert_eq!(under, "{{ scan }}");
    assert_eq!(help, "write `{{ scan | literal }}`, or `| ident` where it names something");
    // SQL that a filter made is no string any more: it cannot be cut or repeated.
    for template in ["{{ (scan | literal)[1:] }}", "{{ (scan | literal) * 2 }}", "{{ scan | literal | upper }}"] {
        assert!(inline(template).is_err(), "{template}");
    }
}

#[test]
fn what_cannot_be_sql_is_refused() {
    for template in
        ["{{ '' | ident }}", "{{ 'a.b.c' | qualified }}", "{{ rows | ident }}", "{{ [] | list }}", "{{ scan | list }}"]
    {
        assert_eq!(refused(template).0, "template-value", "{template}");
    }
    let nul = BTreeMap::from([("n".to_owned(), Value::Text("a\0".into()))]);
    let source = Source::new("p", "{{ n | literal }}");
    let place = Place::new(&source, 0..17);
    assert!(Renderer::new("/".into(), nul).inline("x", "{{ n | literal }}", &place, &BTreeMap::new()).is_err());
}

#[test]
fn nothing_but_our_few_words() {
    for template in [
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{{ scan | safe }}",
        "{{ scan | escape }}",
        "{{ scan | default('x') | literal }}",
        "{{ scan is defined }}",
        "{% if %}",
        "{{ scan",
        "{% autoescape true %}{% endautoescape %}{{ scan | replace('a', 'b') | literal }}",
    ] {
        assert_eq!(refused(template).0, "template-syntax", "{template}");
    }
    for template in ["{{ range(3) }}", "{{ now() }}", "{{ debug() }}", "{{ namespace() }}", "{{ dict() }}"] {
        assert_eq!(refused(template).0, "template-undefined", "{template}");
    }
}

#[test]
fn undefined_names_get_a_suggestion_wherever_they_stand() {
    let (code, under, help) = refused("a scn {% if false %}{{ scn | literal }}{% endif %}");
    assert_eq!((code, under.as_str(), help.as_str()), ("template-undefined", "scn", "did you mean `scan`?"));
    assert_eq!(refused("{{ run.date | literal }}").0, "template-undefined");
}

#[test]
fn a_template_cannot_spin_or_flood() {
    let ten = "[1,2,3,4,5,6,7,8,9,0]";
    let nested = format!("{}{}", format!("{{% for a in {ten} %}}").repeat(8), "{% endfor %}".repeat(8));
    assert_eq!(refused(&nested).0, "template-endless");
    assert_eq!(
        refused("{% macro m(n) %}{% set a = m(n) %}{% set b = m(n) %}{% endmacro %}{% set c = m(1) %}").0,
        "template-value"
    );
    let flood = format!("{{% for a in {ten} * 4000 %}}{}{{% endfor %}}", "x".repeat(1000));
    assert_eq!(refused(&flood).0, "template-endless");
}

#[test]
fn plain_texts_and_objects() {
    let renderer = Renderer::new("/nowhere".into(), vars());
    let source = Source::new("p.toml", "x");
    let extra = BTreeMap::from([("run.date".to_owned(), Value::Text("20260602".into()))]);
    let got = renderer.plain("database", "{{ scan }}_{{ run.date }}", &Place::new(&source, 0..1), &extra);
    assert_eq!(got.expect("renders"), "it's_20260602");
    let wrong = renderer.plain("database", "{{ run.dat }}", &Place::new(&source, 0..1), &extra);
    assert_eq!(wrong.expect_err("refused").help.as_deref(), Some("did you mean `run.date`?"));
}

#[test]
fn files_keep_the_rules() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("templates");
    std::fs::create_dir_all(root.join("a")).expect("folder");
    std::fs::write(root.join("a/seed.sql"), "SELECT {{ rows }};\nSELECT {{ scan }};\n").expect("file");
    std::fs::write(root.join("a/good.sql"), "SELECT {{ rows }};\n").expect("file");
    std::fs::write(root.join("crlf.sql"), "a\r\n").expect("file");
    std::fs::write(root.join("bom.sql"), "\u{feff}a").expect("file");
    std::fs::write(root.join("latin.sql"), b"\xe9").expect("file");
    std::fs::write(root.join("big.sql"), vec![b' '; (4 << 20) + 1]).expect("file");
    std::fs::write(dir.path().join("secret"), "x").expect("file");
    std::os::unix::fs::symlink(dir.path().join("secret"), root.join("link.sql")).expect("link");
    std::os::unix::fs::symlink(root.join("a"), root.join("b")).expect("link");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("socket");

    let renderer = Renderer::new(root.clone(), vars());
    let plan = Source::new("p.toml", "file = \"x\"");
    let place = Place::new(&plan, 8..9);
    let read = |path: &str| renderer.file(path, &place, &BTreeMap::new());
    let good = read("a/good.sql").expect("renders");
    assert_eq!((good.text.as_str(), good.sha256.len()), ("SELECT -5;\n", 64));
    std::fs::write(root.join("a/good.sql"), "changed").expect("file");
    assert_eq!(read("a/good.sql").expect("renders").text, good.text, "read once");

    let bare = read("a/seed.sql").expect_err("a bare string");
    let at = bare.place.expect("a place");
    assert_eq!(at.source.line(at.span.start), 2);
    assert_eq!(&at.source.text[at.span], "{{ scan }}");
    for (path, code) in [
        ("../secret", "template-path"),
        ("/etc/passwd", "template-path"),
        ("a/../a/good.sql", "template-path"),
        ("./a/seed.sql", "template-path"),
        ("a//seed.sql", "template-path"),
        ("", "template-path"),
        ("link.sql", "template-path"),
        ("b/seed.sql", "template-path"),
        ("a", "template-path"),
        ("socket", "template-path"),
        ("a/seed.sql/x", "template-path"),
        ("crlf.sql", "template-encoding"),
        ("bom.sql", "template-encoding"),
        ("latin.sql", "template-encoding"),
        ("big.sql", "template-encoding"),
        ("a/sed.sql", "template-missing"),
    ] {
        let found = read(path).expect_err(path);
        assert_eq!(found.code, code, "{path}");
        if code == "template-missing" {
            assert_eq!(found.help.as_deref(), Some("did you mean `a/seed.sql`?"));
        }
    }
}
