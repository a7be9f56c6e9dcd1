//! The sources as words: comments are gone, strings are marked, and what is only compiled for tests can be left out.

use std::fs;
use std::path::{Path, PathBuf};

/// One word of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A name, a keyword or a number.
    Name(String),
    /// The inside of a string, of any sort.
    Text(String),
    /// Any other sign.
    Sign(char),
}

/// A word and the line it stands on.
#[derive(Clone, Debug)]
pub struct Token {
    pub word: Word,
    pub line: usize,
}

impl Token {
    pub fn is(&self, sign: char) -> bool {
        self.word == Word::Sign(sign)
    }

    pub fn names(&self, name: &str) -> bool {
        self.name() == Some(name)
    }

    pub fn name(&self) -> Option<&str> {
        match &self.word {
            Word::Name(name) => Some(name),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.word {
            Word::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A file below `engine/`.
pub struct SourceFile {
    /// From the root of the repository: `engine/plan/graph.rs`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// All of its words.
    pub tokens: Vec<Token>,
    /// The words that are compiled into the product.
    pub product: Vec<Token>,
}

impl SourceFile {
    fn read(path: &Path, root: &Path) -> SourceFile {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root).expect("below the root").display().to_string();
        let tokens = tokens(&text);
        let product = if path.ends_with("tests.rs") { Vec::new() } else { without_tests(&tokens) };
        SourceFile { path, text, tokens, product }
    }

    /// `plan` of `engine/plan/graph.rs`, `diag` of `engine/diag.rs`.
    pub fn room(&self) -> &str {
        let rest = self.path.strip_prefix("engine/").expect("a file of the engine");
        rest.split('/').next().and_then(|first| first.split('.').next()).expect("a name")
    }

    /// Names of the modules this file is: `plan`, `graph`.
    pub fn modules(&self) -> Vec<&str> {
        let rest = self.path.strip_prefix("engine/").and_then(|rest| rest.strip_suffix(".rs")).expect("a source");
        rest.split('/').filter(|name| !["mod", "lib", "main"].contains(name)).collect()
    }

    /// `path:line`.
    pub fn at(&self, token: &Token) -> String {
        format!("{}:{}", self.path, token.line)
    }
}

/// All sources of the engine, in order of their paths.
pub fn sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("engine"), &mut paths);
    paths.sort();
    assert!(paths.len() > 50, "only {} sources were found", paths.len());
    paths.iter().map(|path| SourceFile::read(path, root)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the engine") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            paths.push(path);
        }
    }
}

/// Splits a source into words.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (length, word) = if let Some(length) = comment(rest) {
            (length, None)
        } else if let Some((length, inside)) = string(rest) {
            (length, Some(Word::Text(inside)))
        } else if let Some(length) = character(rest) {
            (length, Some(Word::Text(String::new())))
        } else if part_of_name(first) {
            let length = rest.find(|c| !part_of_name(c)).unwrap_or(rest.len());
            (length, Some(Word::Name(rest[..length].to_owned())))
        } else {
            (first.len_utf8(), (!first.is_whitespace()).then_some(Word::Sign(first)))
        };
        found.extend(word.map(|word| Token { word, line }));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

fn part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        let (step, change) = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth = depth.checked_add_signed(change)?;
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// A string, raw or not: its length and its inside.
fn string(text: &str) -> Option<(usize, String)> {
    let open = text.find(|c| !matches!(c, 'b' | 'c' | 'r' | '#'))?;
    let prefix = &text[..open];
    if !text[open..].starts_with('"') {
        return None;
    }
    let inside = &text[open + 1..];
    let length = match (prefix.contains('r'), prefix) {
        (true, _) => {
            let close = format!("\"{}", "#".repeat(prefix.matches('#').count()));
            inside.find(&close).map(|at| (at, close.len()))
        }
        (false, "" | "b" | "c") => {
            let mut escaped = false;
            let end = inside.char_indices().find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.map(|(at, _)| (at, 1))
        }
        _ => None,
    };
    let (end, close) = length?;
    Some((open + 1 + end + close, inside[..end].to_owned()))
}

/// A character in single quotes; not a lifetime.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let mut characters = inside.char_indices();
    let (_, first) = characters.next()?;
    let (at, second) = characters.next()?;
    if first != '\\' {
        return (second == '\'').then_some(at + 2);
    }
    let after = at + second.len_utf8();
    inside[after..].find('\'').map(|end| after + end + 2)
}

/// Leaves out every item that stands below `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if marks_tests(&tokens[at..]) {
            at += item(&tokens[at..]);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn marks_tests(tokens: &[Token]) -> bool {
    let mark = ['#', '[', 'c', '(', 't', ')', ']'];
    tokens.len() >= mark.len()
        && mark.iter().zip(tokens).all(|(sign, token)| match sign {
            'c' => token.names("cfg"),
            't' => token.names("test"),
            sign => token.is(*sign),
        })
}

/// Words of the item the tokens start with: to its `;`, or to the end of its block.
fn item(tokens: &[Token]) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match &token.word {
            Word::Sign('{' | '(' | '[') => depth += 1,
            Word::Sign(close @ ('}' | ')' | ']')) => {
                depth -= 1;
                if depth == 0 && *close == '}' {
                    return at + 1;
                }
            }
            Word::Sign(';') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[test]
fn a_source_becomes_words() {
    let text = "use a::b; // c::d\n/* e /* f */ g */ let x = r#\"h \"i\"#; '\\''; 'j'; fn k<'l>() { \"m\\\"n\" }\n\
                #[cfg(test)]\nmod tests { fn o() { p(); } }\nfn q() {}";
    let all = tokens(text);
    let names: Vec<&str> = without_tests(&all).iter().filter_map(|t| t.name().map(str::to_owned)).map(leak).collect();
    assert_eq!(names, ["use", "a", "b", "let", "x", "fn", "k", "l", "fn", "q"]);
    let texts: Vec<&str> = all.iter().filter_map(Token::text).collect();
    assert_eq!(texts, ["h \"i", "", "", "m\\\"n"]);
    assert_eq!(all.last().map(|t| t.line), Some(5));
}

#[cfg(test)]
fn leak(name: String) -> &'static str {
    name.leak()
}
