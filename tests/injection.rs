//! Values cannot become SQL: whatever a variable holds, and however it came, it is executed and comes back equal, or it is
//! refused at `check` with a place. `ENGINE_SEED` repeats a run.

mod support;

use engine::compile::{self, Given};
use engine::diag::Diagnostics;
use std::collections::BTreeSet;
use support::{Bench, METHODS, MINI, unlike};

/// What has hurt someone once. Values are strings of these.
const PIECES: &[&str] = &[
    "'",
    "''",
    "\"",
    "\"\"",
    "\\",
    "\\'",
    "\\\\",
    "$$",
    "$a$",
    "$1",
    "$",
    ":x",
    ":'x'",
    ":\"x\"",
    "%s",
    "%",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "{{ t | literal }}",
    ";",
    "--",
    "-- ",
    "/*",
    "*/",
    "\n",
    "\r",
    "\r\n",
    "\t",
    " ",
    "\u{0}",
    "\u{1}",
    "\u{7f}",
    "\u{feff}",
    "\u{200b}",
    "\u{202e}",
    "\u{ff1b}",
    "\u{ff07}",
    "\u{2019}",
    "e\u{301}",
    "ß",
    "İ",
    "𝔸",
    "E'",
    "e'\\x",
    "U&'\\0027",
    "U&\"",
    "x'",
    "b'1",
    "E",
    "NULL",
    "true",
    "now()",
    "DROP TABLE u",
    "; COMMIT; --",
    "' OR true --",
    "'); DELETE FROM u; --",
    "\\!",
    "\\g",
    "\n\\! touch x\n",
    "=",
    "a=b",
    "a",
    "A",
    "0",
    "-1",
    "9223372036854775807",
    "1e9",
    "select",
    "position",
    "public.u",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "äöü",
    "@",
    "#",
    "&",
    "|",
    "`",
    "~",
    "../x",
    "env:HOME",
];

struct Dice(u64);

impl Dice {
    /// The seed is printed: a test that fails says it.
    fn new(test: &str) -> Dice {
        let given = std::env::var("ENGINE_SEED").ok().map(|seed| seed.parse().expect("ENGINE_SEED is a number"));
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let seed = given.unwrap_or(u64::from(clock.subsec_nanos()) | 1);
        println!("{test}: ENGINE_SEED={seed}");
        Dice(seed.max(1))
    }

    /// Below `end`, by xorshift.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("invariant: below a usize")
    }

    fn value(&mut self) -> String {
        let count = self.below(6);
        (0..count).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    /// One near the edge of 63 bytes, often enough.
    fn name(&mut self) -> String {
        let mut name = self.value();
        if self.below(3) == 0 {
            let wanted = 62 + self.below(3);
            while name.len() < wanted {
                name.push('n');
            }
        }
        name
    }
}

/// All that a single value may be, then strings of them.
fn values(dice: &mut Dice, count: usize, make: fn(&mut Dice) -> String) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = PIECES.iter().map(|piece| (*piece).to_owned()).collect();
    while all.len() < count {
        all.insert(make(dice));
    }
    all
}

async fn session(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

/// A plan of one probe that reads its variables back.
fn plan(kind: &str, default: &str, sql: &str) -> String {
    format!(
        "engine = 1\n[var.v]\n{kind}\n{default}\n[target.production]\nurl = \"env:X\"\naccess = \"read\"\n[probe.p]\non = \
         \"production\"\nsql = '''{sql}'''\n[stage.c]\nkind = \"check\"\non = \"production\"\nneeds = []\nguard.g = \"p = 'x'\"\n"
    )
}

/// A TOML string of a text.
fn toml(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if (c as u32) < 32 || c == '\u{7f}' => format!("\\u{:04X}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// The probe as it would be sent, or what was refused.
fn compiled(bench: &Bench, plan: &str, given: Option<&str>) -> Result<String, Diagnostics> {
    let file = bench.write("plans/injection.toml", plan);
    let vars = given.map(|value| ("v".to_owned(), value.to_owned())).into_iter().collect();
    compile::workflow(&file, &Given { vars, ..Given::default() }).map(|workflow| workflow.probes["p"].sql.clone())
}

fn has_a_place(refused: &Diagnostics, value: &str) {
    assert!(
        refused.0.iter().all(|problem| problem.warning || problem.place.is_some()),
        "{value:?}\n{}",
        refused.draw(false)
    );
}

/// Reads every value back through every filter, with either meaning of a backslash. Answers how many came back.
async fn come_back(bench: &Bench, kind: &str, sql: &str, all: &BTreeSet<String>, may: fn(&str) -> bool) -> usize {
    let client = session(&bench.url("shop_owner", bench.production())).await;
    let mut back = 0;
    for value in all {
        for default in [false, true] {
            let written = if default { format!("default = {}", toml(value)) } else { String::new() };
            let sent = match compiled(bench, &plan(kind, &written, sql), (!default).then_some(value)) {
                Ok(sent) => sent,
                Err(refused) => {
                    // A default that looks like a template would be taken for one by its reader.
                    let told = default && looks_like_a_template(value);
                    assert!(!may(value) || told, "{kind}: {value:?} is refused\n{}", refused.draw(false));
                    has_a_place(&refused, value);
                    continue;
                }
            };
            assert!(may(value), "{kind}: {value:?} is taken");
            for conforming in ["on", "off"] {
                let set = format!("SET standard_conforming_strings = {conforming}");
                client.batch_execute(&set).await.expect("a setting");
                let row = client.query_one(&sent, &[]).await.unwrap_or_else(|e| panic!("{value:?}: {sent}: {e}"));
                assert_eq!(row.get::<_, String>(0), *value, "{sent}");
                if let Some(name) = row.columns().get(1) {
                    assert_eq!(name.name(), value, "{sent}");
                }
            }
            back += 1;
        }
    }
    println!("{kind}: {back} came back equal");
    back
}

fn looks_like_a_template(value: &str) -> bool {
    value.contains("{{") || value.contains("{%")
}

fn no_nul(value: &str) -> bool {
    !value.contains('\0')
}

#[tokio::test]
async fn texts_come_back_byte_for_byte() {
    let (bench, mut dice) = (Bench::shop("texts"), Dice::new("texts"));
    let all = values(&mut dice, 400, Dice::value);
    let literal = "SELECT CAST({{ v | literal }} AS text)";
    assert!(come_back(&bench, "type = \"text\"", literal, &all, no_nul).await > 500);
    let list = "SELECT (ARRAY[{{ ['x', v, v] | list }}])[2]";
    come_back(&bench, "type = \"text\"", list, &all, no_nul).await;
    let code = "SELECT CAST({{ v | literal }} AS text) -- it's\n /* \" */ WHERE $$'$$ <> {{ v | literal }} || 'x'";
    come_back(&bench, "type = \"text\"", code, &all, no_nul).await;
}

#[tokio::test]
async fn names_come_back_or_are_refused() {
    let (bench, mut dice) = (Bench::shop("names"), Dice::new("names"));
    let all = values(&mut dice, 400, Dice::name);
    let fits = |name: &str| no_nul(name) && !name.is_empty() && name.len() <= 63;
    let sql = "SELECT CAST({{ v | literal }} AS text), 1 AS {{ v | ident }}";
    assert!(come_back(&bench, "type = \"ident\"", sql, &all, fits).await > 300);
}

#[tokio::test]
async fn numbers_words_and_times_are_themselves_or_refused() {
    let (bench, mut dice) = (Bench::shop("others"), Dice::new("others"));
    let mut all = values(&mut dice, 250, Dice::value);
    let honest = ["true", "false", "7", "-7", "-9223372036854775808", "2026-06-02T08:00:00Z", "10m", "7d", "it's; --"];
    all.extend(honest.map(str::to_owned));
    let text = "SELECT CAST({{ v | literal }} AS text)";
    come_back(&bench, "enum = [\"it's; --\", \"$$\", \"\\\\\"]", text, &all, |v| ["it's; --", "$$", "\\"].contains(&v))
        .await;
    // What the engine takes for a time the server does, too.
    let client = session(&bench.url("shop_owner", bench.production())).await;
    for (kind, cast) in [("timestamp", "timestamptz"), ("duration", "text"), ("int", "int8"), ("bool", "bool")] {
        let sql = format!("SELECT CAST({{{{ v | literal }}}} AS {cast})::text, 1 -{{{{ v | length }}}}");
        let sql = if ["int", "bool"].contains(&kind) { "SELECT ({{ v }})::text".to_owned() } else { sql };
        let mut taken = 0;
        for value in &all {
            match compiled(&bench, &plan(&format!("type = \"{kind}\""), "", &sql), Some(value)) {
                Err(refused) => has_a_place(&refused, value),
                Ok(sent) => {
                    let row = client.query_one(&sent, &[]).await.unwrap_or_else(|e| panic!("{value:?}: {sent}: {e}"));
                    let back: String = row.get(0);
                    let same = match kind {
                        "int" => back.parse::<i64>().ok() == value.parse::<i64>().ok(),
                        "timestamp" => back.starts_with("2026-06-02"),
                        _ => back == *value,
                    };
                    assert!(same, "{kind} {value:?} came back as {back:?}");
                    taken += 1;
                }
            }
        }
        assert!(taken > 0 && taken < 20, "{kind}: {taken}");
    }
    // Two signs in a row would begin a comment.
    let sent =
        compiled(&bench, &plan("type = \"int\"", "", "SELECT (1 -{{ v }})::text"), Some("-7")).expect("it renders");
    assert_eq!(client.query_one(&sent, &[]).await.expect("a row").get::<_, String>(0), "8");
}

/// A careless author writes quotes around a filter, or a value into a comment: no value gets out of there.
#[test]
fn a_value_within_quotes_or_a_comment_is_refused() {
    let bench = Bench::shop("quotes");
    for sql in [
        "SELECT '{{ v | literal }}'",
        "SELECT \"{{ v | ident }}\"",
        "SELECT 1 -- {{ v | literal }}\n",
        "SELECT 1 /* {{ v | literal }} */",
        "SELECT E'\\' {{ v | literal }}'",
        "SELECT $$ '{{ v | literal }}' $$",
        "SELECT '{% for x in [v] %}{{ x | literal }}{% endfor %}'",
        "SELECT '{{ v | qualified }}'",
    ] {
        for value in ["; DELETE FROM u; --", "\nDELETE FROM u; --", "*/ DELETE FROM u; --", "a"] {
            let refused = compiled(&bench, &plan("type = \"text\"", "", sql), Some(value)).expect_err(sql);
            has_a_place(&refused, sql);
            assert!(refused.0.iter().any(|problem| problem.code == "template-value"), "{}", refused.draw(false));
        }
    }
    let body = plan("type = \"text\"", "", "SELECT $$ {{ v | literal }} $$");
    compiled(&bench, &body, Some("$$; DELETE FROM u; SELECT $$")).expect_err("it would end the body");
    compiled(&bench, &body, Some("honest")).expect("a value in a body");
}

/// By the command itself, all three ways a value can come, on a server whose databases read backslashes the old way.
#[test]
fn what_is_given_arrives_in_the_clone() {
    let (mut dice, bench) = (Dice::new("end to end"), Bench::mini("arrives", ""));
    let production = bench.production().to_owned();
    for database in [production.as_str(), "postgres"] {
        bench.psql("postgres", &format!("ALTER DATABASE {database} SET standard_conforming_strings = off"));
    }
    let all: Vec<String> = values(&mut dice, 130, Dice::value).into_iter().filter(|v| no_nul(v)).collect();
    let (mut vars, mut insert, mut file) = (String::new(), Vec::new(), String::new());
    let mut arguments = vec!["--vars-file".to_owned(), "vars.toml".to_owned()];
    for (at, value) in all.iter().enumerate() {
        let way = if at % 3 == 0 && looks_like_a_template(value) { 1 } else { at % 3 };
        let default = if way == 0 { format!("default = {}\n", toml(value)) } else { String::new() };
        vars.push_str(&format!("[var.v{at}]\ntype = \"text\"\n{default}"));
        match way {
            1 => file.push_str(&format!("v{at} = {}\n", toml(value))),
            2 => arguments.extend(["--var".to_owned(), format!("v{at}={value}")]),
            _ => {}
        }
        insert.push(format!("({at}, {{{{ v{at} | literal }}}})"));
    }
    bench.write("vars.toml", &file);
    let sql = format!("INSERT INTO u VALUES {}", insert.join(",\n"));
    let keys = format!("writes.u = {}\nprove = [\"idempotent\", \"reversible\"]", all.len());
    let stage = bench.mini_stage(
        "s",
        "\"base\"",
        &keys,
        &format!("DELETE FROM u WHERE id < 0;\n{sql} ON CONFLICT DO NOTHING"),
        Some("DELETE FROM u"),
    );
    bench.mini_plan(&format!("{vars}{stage}"));
    let before = bench.all_of(&production);
    let more: Vec<&str> = arguments.iter().map(String::as_str).collect();
    bench.mini_apply(&more).expect(0);
    let hex = bench.psql(bench.clone_name(), "SELECT encode(convert_to(v, 'UTF8'), 'hex') FROM u ORDER BY id");
    let wanted: Vec<String> = all.iter().map(|v| v.bytes().map(|b| format!("{b:02x}")).collect()).collect();
    assert_eq!(hex.split('\n').collect::<Vec<_>>(), wanted);
    assert_eq!(bench.all_of(&production), before);
}

/// Bytes that are no UTF-8 are refused wherever they come from.
#[test]
fn bytes_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::mini("bytes", "");
    let stage = bench.mini_stage("s", "\"base\"", "writes.u = 1", "INSERT INTO u VALUES (1, {{ v | literal }})", None);
    bench.mini_plan(&format!("[var.v]\ntype = \"text\"\n{stage}"));
    let honest = bench.read(MINI);
    let mut command = bench.command(&["check", MINI, "--var"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"v=\xff\xfe")).output().expect("the engine");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(bench.home().join("vars.toml"), b"v = \"\xff\"\n").expect("a file");
    let outcome = bench.engine(&["check", MINI, "--vars-file", "vars.toml"]);
    assert!([2, 10].contains(&outcome.code), "{} {}", outcome.code, outcome.all());
    assert!(outcome.all().contains("vars.toml"), "{}", outcome.all());
    for (file, bytes, shown) in [
        ("templates/mini/s.sql", &b"INSERT INTO u VALUES (1, '\xc3\x28');\n"[..], "mini/s.sql"),
        ("templates/mini/s.sql", b"\xef\xbb\xbfINSERT INTO u VALUES (1, 'a');\n", "mini/s.sql"),
        ("templates/mini/s.sql", b"INSERT INTO u VALUES (1, 'a\0b');\n", "mini/s.sql"),
        (MINI, &[honest.as_bytes(), b"# \xff\n"].concat(), MINI),
    ] {
        let kept = std::fs::read(bench.home().join(file)).expect("a file");
        std::fs::write(bench.home().join(file), bytes).expect("a file");
        bench.engine(&["check", MINI, "--var", "v=x"]).expect(10).says(&[shown]);
        std::fs::write(bench.home().join(file), kept).expect("a file");
    }
    bench.engine(&["check", MINI, "--var", "v=x"]).expect(0);
}

/// Production's own names: of schemas, tables, columns, types, functions, indexes, sequences, roles and the database.
const ODD: &[&str] = &[
    "it's",
    "quo\"te",
    "back\\slash",
    "dol$lar$$",
    "new\nline",
    "per%cent %s %I",
    " space ",
    "Ünï ☃",
    "semi;colon--",
    "/*",
    "{{ x }}",
    "pg_catalog",
    "select",
    "UPPER",
    "\\.",
    "a.b",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
];

#[test]
fn a_clone_of_odd_names_is_equal() {
    let odd = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let schemas = ODD.iter().filter(|name| !name.starts_with("pg_"));
    for method in METHODS {
        let bench = Bench::bare(&format!("odd_{method}"), "");
        let mut sql = "SET ROLE shop_owner;\n".to_owned();
        for name in schemas.clone() {
            let n = odd(name);
            sql.push_str(&format!(
                "CREATE SCHEMA {n}; CREATE TYPE {n}.\"t{x}\" AS ENUM ('{}', 'b');
                 CREATE TABLE {n}.{n} ({n} int PRIMARY KEY, \"x{x}\" {n}.\"t{x}\", s serial);
                 CREATE TABLE {n}.\"other\" (id int, {n} int REFERENCES {n}.{n}, UNIQUE (id, {n}));
                 CREATE INDEX \"i{x}\" ON {n}.other ({n});
                 CREATE FUNCTION {n}.\"f{x}\"() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
                 CREATE TRIGGER {n} BEFORE INSERT ON {n}.other FOR EACH ROW EXECUTE FUNCTION {n}.\"f{x}\"();
                 CREATE VIEW {n}.\"v{x}\" AS SELECT {n} FROM {n}.{n};
                 INSERT INTO {n}.{n} SELECT n, 'b' FROM generate_series(1, 20) AS n;
                 INSERT INTO {n}.other SELECT n, n FROM generate_series(1, 20) AS n;
                 COMMENT ON TABLE {n}.{n} IS '{}'; GRANT SELECT ON {n}.{n} TO bare_other;\n",
                name.replace('\'', "''"),
                name.replace('\'', "''"),
                // One byte of a name that has 63 makes room.
                x = if name.len() > 60 { "62".to_owned() } else { name.replace('"', "\"\"") },
            ));
        }
        bench.psql(bench.production(), &sql);
        let plain = bench.production().to_owned();
        for name in ODD {
            // One after the other, the database bears each of these names.
            if *method == "dump" && name.len() > 60 {
                continue;
            }
            let mut renamed = bench.command(&["watermark", "env:SHOP_PRODUCTION_URL", "-o", "mark.json"]);
            bench.psql("postgres", &format!("ALTER DATABASE {plain} RENAME TO {}", odd(name)));
            let url = bench.url("bare_reader", "DATABASE").replacen("DATABASE", &encoded(name), 1);
            let said = renamed.env("SHOP_PRODUCTION_URL", &url).output().expect("the engine");
            bench.psql("postgres", &format!("ALTER DATABASE {} RENAME TO {plain}", odd(name)));
            assert_eq!(said.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&said.stderr));
            std::fs::remove_file(bench.home().join("mark.json")).expect("the watermark");
        }
        bench.make_clone(method, "").expect(0);
        assert_eq!(unlike(&bench, &plain, bench.clone_name()), Vec::<String>::new());
    }
}

/// A name as a part of a URL.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
