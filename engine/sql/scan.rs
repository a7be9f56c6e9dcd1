//! One look over a text before it is parsed: is it nested so deep that a recursive parser would run out of
//! stack? A plain scanner that knows quotes and comments and nothing else.

/// Tokens that may stand between two separators of one bracket level, summed over the open brackets. Each may
/// cost the parser one level; PostgreSQL itself gives up at a similar depth.
const DEEPEST: usize = 4_000;

/// How deep `text` is nested.
///
/// # Errors
/// Too deep: the first byte at which it is.
pub(super) fn depth(text: &str) -> Result<usize, usize> {
    let bytes = text.as_bytes();
    let (mut levels, mut total) = (vec![0usize], 0usize);
    let mut deepest = 0;
    let mut at = 0;
    while at < bytes.len() {
        let end = token_end(text, at);
        match bytes[at] {
            b if b.is_ascii_whitespace() => {}
            // The bracket itself stays open.
            b',' | b';' => {
                let open = usize::from(levels.len() > 1);
                total -= levels.last_mut().map_or(0, |level| std::mem::replace(level, open) - open);
            }
            b')' | b']' if levels.len() > 1 => total -= levels.pop().unwrap_or(0),
            open => {
                total += 1;
                if matches!(open, b'(' | b'[') {
                    levels.push(1);
                } else if let Some(level) = levels.last_mut() {
                    *level += 1;
                }
            }
        }
        if total > DEEPEST {
            return Err(at);
        }
        deepest = deepest.max(total);
        at = end;
    }
    Ok(deepest)
}

/// Where the token, blank or comment that starts at `at` ends.
fn token_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    let length = match bytes[0] {
        b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
        b'/' if rest.starts_with("/*") => comment(bytes),
        b'\'' => quoted(bytes, b'\'', false),
        b'"' => quoted(bytes, b'"', false),
        b'E' | b'e' if bytes.get(1) == Some(&b'\'') => 1 + quoted(&bytes[1..], b'\'', true),
        b'$' => dollar(rest),
        b if word(b) => bytes.iter().position(|b| !word(*b)).unwrap_or(bytes.len()),
        _ => 1,
    };
    at + length.max(1)
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

fn comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

fn quoted(bytes: &[u8], quote: u8, escapes: bool) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn dollar(rest: &str) -> usize {
    let Some(tag_end) = rest[1..].find('$').map(|i| i + 2) else { return 1 };
    let tag = &rest[..tag_end];
    if !tag[1..tag_end - 1].bytes().all(word) {
        return 1;
    }
    rest[tag_end..].find(tag).map_or(1, |i| i + 2 * tag_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_texts_are_flat() {
        let rows = "(1, 'it''s', $$(((($$, E'\\'((((', (2)),".repeat(20_000);
        assert!(depth(&format!("INSERT INTO t VALUES {rows}")).is_ok());
        assert!(depth(&format!("SELECT '{}'", "(".repeat(100_000))).is_ok());
        assert!(depth(&format!("SELECT 1 /* {} */", "( /* x */".repeat(100_000))).is_ok());
        assert!(depth("SELECT $x, $, $é $1 )))").is_ok_and(|levels| levels < 10));
    }

    #[test]
    fn deep_ones_are_found() {
        for piece in ["(", "NOT ", "- ", "a+", "CASE WHEN ", "f(", "x, ("] {
            assert!(depth(&piece.repeat(10_000)).is_err(), "{piece}");
        }
    }
}
