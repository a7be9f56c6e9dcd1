//! `varchar` and IN: the server prints `status IN ('a', 'b')` as `(ARRAY['a'::character varying, ...])::text[]`, and
//! parses that to `ARRAY[('a'::character varying)::text, ...]`. Both are brought to the second form, a fixed point.

/// The text with every cast of a whole ARRAY constructor moved to its elements.
pub(super) fn unified(text: &str) -> String {
    const OPEN: &str = "(ARRAY[";
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        let cast = rest.strip_prefix(OPEN).and_then(cast_of_array);
        if let Some((elements, element_type, after)) = cast {
            let moved = elements.iter().map(|element| format!("({})::{element_type}", unified(element.trim())));
            out.extend(["ARRAY[", &moved.collect::<Vec<_>>().join(", "), "]"]);
            rest = after;
        } else {
            let length = quoted(rest).unwrap_or(first.len_utf8());
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out
}

/// After `(ARRAY[`: the elements, the type they are cast to, what follows. `None` when it is no such cast.
fn cast_of_array(text: &str) -> Option<(Vec<&str>, &str, &str)> {
    let (elements, after) = elements(text)?;
    let cast = after.strip_prefix(")::")?;
    let end = cast.find("[]")?;
    let element_type = &cast[..end];
    let plain = element_type.chars().all(|c| c.is_alphanumeric() || " _.\"(,)".contains(c));
    (plain && !element_type.is_empty()).then(|| (elements, element_type, &cast[end + 2..]))
}

/// Splits at commas up to the closing bracket; what stands in quotes or brackets is skipped.
fn elements(text: &str) -> Option<(Vec<&str>, &str)> {
    let (mut depth, mut start, mut at) = (0usize, 0, 0);
    let mut found = Vec::new();
    while let Some(c) = text[at..].chars().next() {
        if let Some(length) = quoted(&text[at..]) {
            at += length;
            continue;
        }
        match c {
            '(' | '[' => depth += 1,
            ']' if depth == 0 => {
                found.push(&text[start..at]);
                return Some((found, &text[at + 1..]));
            }
            ')' | ']' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    None
}

/// Length of the quoted piece the text starts with. The server prints `E''` where a backslash is in it.
pub(super) fn quoted(text: &str) -> Option<usize> {
    let (open, escapes) = match text.as_bytes() {
        [b'E', b'\'', ..] => (2, true),
        [b'\'' | b'"', ..] => (1, false),
        _ => return None,
    };
    let quote = char::from(text.as_bytes()[open - 1]);
    let mut characters = text[open..].char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if escapes && c == '\\' {
            characters.next();
        } else if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return Some(open + at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_meet() {
        let production = "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'it''s, [b])'::character varying])::text[])))";
        let clone = "CHECK (((status)::text = ANY (ARRAY[('a'::character varying)::text, ('it''s, [b])'::character varying)::text])))";
        assert_eq!(unified(production), clone);
        assert_eq!(unified(clone), clone);
    }

    #[test]
    fn what_differs_still_differs() {
        let of = |value: &str| unified(&format!("((ARRAY['{value}'::character varying])::text[])"));
        assert_ne!(of("a"), of("b"));
        assert_ne!(of("a"), of("A"));
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "",
            "'(ARRAY[''a''])::text[]'",
            "(ARRAY[1, 2])[1]",
            "(ARRAY[1",
            "E'\\'' || (x)::text[]",
            "ä 'ö' \"(ARRAY[\"",
        ] {
            assert_eq!(unified(text), text);
        }
        assert_eq!(
            unified("(ARRAY[f(1, 2), (3)])::numeric(10,2)[]"),
            "ARRAY[(f(1, 2))::numeric(10,2), ((3))::numeric(10,2)]"
        );
    }
}
