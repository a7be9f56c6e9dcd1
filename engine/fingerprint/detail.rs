//! What differs between two definitions, in one line.

/// Longest piece of a definition that is shown.
const SHOWN: usize = 160;

/// Lines that only one of the two has; `was -> is` where it is one of each.
pub(super) fn detail(was: &str, is: &str) -> String {
    let (gone, new) = (only_in(was, is), only_in(is, was));
    match (gone.as_slice(), new.as_slice()) {
        ([], []) => "its lines are in another order".to_owned(),
        ([gone], [new]) => {
            let (gone, new) = narrowed(gone, new);
            format!("`{gone}` -> `{new}`")
        }
        _ => [listed("gone", &gone), listed("new", &new)].into_iter().flatten().collect::<Vec<_>>().join("; "),
    }
}

/// The start of a definition, on one line.
pub(super) fn brief(definition: &str) -> String {
    shortened(&definition.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Lines of `text` that `other` has less often.
fn only_in<'t>(text: &'t str, other: &str) -> Vec<&'t str> {
    let mut others: Vec<&str> = other.lines().collect();
    text.lines()
        .filter(|line| match others.iter().position(|o| o == line) {
            Some(at) => {
                others.swap_remove(at);
                false
            }
            None => true,
        })
        .collect()
}

fn listed(word: &str, lines: &[&str]) -> Option<String> {
    let shown: Vec<String> = lines.iter().take(3).map(|line| format!("`{}`", shortened(line.trim()))).collect();
    let more = if lines.len() > 3 { format!(" and {} more", lines.len() - 3) } else { String::new() };
    (!lines.is_empty()).then(|| format!("{word} {}{more}", shown.join(", ")))
}

/// Cuts what two long lines begin with alike, so that the difference is in what is shown.
fn narrowed(a: &str, b: &str) -> (String, String) {
    let (a, b) = (a.trim(), b.trim());
    if a.len().max(b.len()) <= SHOWN {
        return (a.to_owned(), b.to_owned());
    }
    let same = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let from = same.saturating_sub(20);
    let cut = |text: &str| {
        let rest: String = text.chars().skip(from).collect();
        if from == 0 { shortened(&rest) } else { format!("...{}", shortened(&rest)) }
    };
    (cut(a), cut(b))
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each_is_was_and_is() {
        assert_eq!(
            detail("integer\ndefault 1\nnot null", "integer\ndefault 2\nnot null"),
            "`default 1` -> `default 2`"
        );
    }

    #[test]
    fn more_lines_are_listed() {
        assert_eq!(detail("a\nb\nc", "a\nd\nb"), "`c` -> `d`");
        assert_eq!(detail("a\nb", "a"), "gone `b`");
        assert_eq!(detail("a", "a\nb\nc"), "new `b`, `c`");
        assert_eq!(detail("a\nb", "b\na"), "its lines are in another order");
        assert_eq!(detail("a\na", "a"), "gone `a`");
    }

    #[test]
    fn long_lines_show_where_they_part() {
        let (a, b) = (format!("{}x", "ä".repeat(500)), format!("{}y", "ä".repeat(500)));
        let said = detail(&a, &b);
        assert!(said.chars().count() < 100 && said.contains("x` -> `...") && said.ends_with("y`"), "{said}");
    }
}
