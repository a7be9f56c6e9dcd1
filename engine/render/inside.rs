//! Where a filter's SQL came to stand: in code, never within a string, a quoted name or a comment of the template.
//!
//! `'{{ x | literal }}'` would be two empty strings with the bare value between them, and a line break in a value would
//! end a `--` comment. Within a dollar-quoted body values are fine as long as they do not end it.

/// Stands before and after what a filter made; no value and no template holds one.
pub(super) const MARK: char = '\0';

/// What is wrong, and with which of the marked pieces, from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misplaced {
    pub(super) piece: usize,
    pub(super) why: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Code,
    Text { escapes: bool },
    Name,
    Line,
    Block(usize),
}

impl Mode {
    fn within(self) -> Option<&'static str> {
        match self {
            Mode::Code => None,
            Mode::Text { .. } => Some("a string"),
            Mode::Name => Some("a quoted name"),
            Mode::Line | Mode::Block(_) => Some("a comment"),
        }
    }
}

/// The text without its marks.
pub(super) fn placed(marked: &str) -> Result<String, Misplaced> {
    let mut out = String::with_capacity(marked.len());
    let (mut mode, mut tags): (Mode, Vec<&str>) = (Mode::Code, Vec::new());
    let (mut rest, mut piece) = (marked, 0);
    while let Some(first) = rest.chars().next() {
        if first == MARK {
            let inner = &rest[1..];
            let end = inner.find(MARK).unwrap_or(inner.len());
            let made = &inner[..end];
            let number = made.starts_with('-');
            if let Some(within) = mode.within().filter(|_| !number) {
                return Err(Misplaced {
                    piece,
                    why: format!("a filter writes its own quotes, and this stands within {within}"),
                });
            }
            if let Some(tag) = tags.iter().find(|tag| made.contains(**tag)) {
                return Err(Misplaced {
                    piece,
                    why: format!("this value holds `{tag}`, which ends the text it stands in"),
                });
            }
            // Two signs in a row begin a comment.
            if number && mode == Mode::Code && out.ends_with('-') {
                out.push(' ');
            }
            out.push_str(made);
            piece += usize::from(!number);
            rest = inner.get(end + 1..).unwrap_or("");
            continue;
        }
        let length = step(rest, &out, &mut mode, &mut tags).unwrap_or(first.len_utf8());
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Ok(out)
}

/// What begins or ends here, and how long it is; `None`: one more character of the same.
fn step<'t>(rest: &'t str, before: &str, mode: &mut Mode, tags: &mut Vec<&'t str>) -> Option<usize> {
    if let Some(at) = tags.iter().position(|tag| rest.starts_with(*tag)) {
        let length = tags[at].len();
        tags.truncate(at);
        *mode = Mode::Code;
        return Some(length);
    }
    let starts = |word: &str| rest.starts_with(word).then_some(word.len());
    match *mode {
        Mode::Code => {
            if starts("--").is_some() {
                *mode = Mode::Line;
                return Some(2);
            }
            if starts("/*").is_some() {
                *mode = Mode::Block(1);
                return Some(2);
            }
            let mut last = before.chars().rev();
            let (previous, one_before) = (last.next(), last.next());
            match rest.as_bytes()[0] {
                b'\'' => {
                    let escapes = matches!(previous, Some('e' | 'E')) && !one_before.is_some_and(is_word);
                    *mode = Mode::Text { escapes };
                }
                b'"' => *mode = Mode::Name,
                b'$' if !previous.is_some_and(is_word) => {
                    let tag = tag(rest)?;
                    tags.push(tag);
                    return Some(tag.len());
                }
                _ => {}
            }
            None
        }
        Mode::Text { escapes } => {
            if escapes && rest.starts_with('\\') {
                // The next one stands for itself, be it a quote or a mark's neighbour.
                return Some(1 + rest[1..].chars().next().filter(|c| *c != MARK).map_or(0, char::len_utf8));
            }
            starts("'").inspect(|_| *mode = Mode::Code)
        }
        Mode::Name => starts("\"").inspect(|_| *mode = Mode::Code),
        Mode::Line => starts("\n").or(starts("\r")).inspect(|_| *mode = Mode::Code),
        Mode::Block(depth) => {
            if let Some(length) = starts("/*") {
                *mode = Mode::Block(depth + 1);
                return Some(length);
            }
            starts("*/").inspect(|_| *mode = if depth == 1 { Mode::Code } else { Mode::Block(depth - 1) })
        }
    }
}

/// `$tag$` at the begin of a text.
fn tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 2;
    let name = &rest[1..end - 1];
    let fine = name.chars().all(|c| is_word(c) && c != '$') && !name.starts_with(|c: char| c.is_ascii_digit());
    fine.then(|| &rest[..end])
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<String, String> {
        placed(&text.replace(['<', '>'], "\0")).map_err(|misplaced| misplaced.why)
    }

    #[test]
    fn code_is_the_only_place() {
        for fine in [
            "SELECT <'a'>, <'b'>",
            "SELECT 'it''s' || <'a'> -- don't\n, <'b'>",
            "/* ' /* \" */ $$ */ <'a'>",
            "SELECT E'\\'' || <'a'>, 'a\\' || <'b'>, \"x\"\"y\" <'c'>",
            "DO $$ BEGIN PERFORM <'a'>; END $$; SELECT <'b'>",
            "DO $x$ BEGIN EXECUTE $$ it's $$; PERFORM <'a'>; END $x$",
            "SELECT $$it's$$, <'a'>, a$b, $1 <'c'>",
            "SELECT 'number <-5> in a string'",
        ] {
            assert_eq!(place(fine), Ok(fine.replace(['<', '>'], "")), "{fine}");
        }
        for (bad, within) in [
            ("SELECT '<'a'>'", "a string"),
            ("SELECT E'\\\\ <'a'>'", "a string"),
            ("SELECT E'\\' <'a'>'", "a string"),
            ("SELECT \"<\"a\">\"", "a quoted name"),
            ("-- <'a'>", "a comment"),
            ("/* /* */ <'a'> */", "a comment"),
            ("DO $$ BEGIN PERFORM '<'a'>'; END $$", "a string"),
        ] {
            assert!(place(bad).is_err_and(|why| why.contains(within)), "{bad}");
        }
        assert!(place("DO $$ <'a$$; DROP'> $$").is_err_and(|why| why.contains("`$$`")));
        assert_eq!(place("DO $x$ <'a$$'> $x$"), Ok("DO $x$ 'a$$' $x$".to_owned()));
    }

    #[test]
    fn two_signs_are_no_comment() {
        assert_eq!(place("SELECT 1 -<-5>"), Ok("SELECT 1 - -5".to_owned()));
        assert_eq!(place("SELECT 1 - <-5>, (<-5>)"), Ok("SELECT 1 - -5, (-5)".to_owned()));
    }
}
