//! The one layout of a plan file, so that a pull request shows what changed and not how it was typed. Comments and order stay.

use taplo::formatter::{Options, format};

/// Longest line before an array is spread over several.
const WIDTH: usize = 120;

/// Why a text is not laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no TOML: what is wrong.
    NoToml(String),
    /// It is TOML in a form that the formatter does not know, such as an inline table over several lines.
    Unknown(String),
}

/// The text in that layout, with the line ends that it has. What it means is the same: it is read again and compared.
///
/// # Errors
/// It is no TOML, or in a form that would not come out as it went in: nothing is answered then.
pub fn formatted(text: &str) -> Result<String, Refused> {
    let meant: toml::Table = text.parse().map_err(|e: toml::de::Error| Refused::NoToml(e.to_string()))?;
    // It reads an older TOML, and what it does not know it moves about.
    if let Some(error) = taplo::parser::parse(text).errors.first() {
        let line = 1 + text[..usize::from(error.range.start()).min(text.len())].matches('\n').count();
        return Err(Refused::Unknown(format!("line {line}: a form of TOML that is not laid out")));
    }
    let laid_out = format(text, options(text.contains("\r\n")));
    match laid_out.parse::<toml::Table>() {
        Ok(means) if means == meant && comments(&laid_out) == comments(text) => Ok(laid_out),
        _ => Err(Refused::Unknown("its layout cannot be changed without changing what it means".to_owned())),
    }
}

/// The comments, in their order, each with the key or header it stands by: what follows it on a line of its own, else what is
/// before it.
fn comments(text: &str) -> Vec<(String, String)> {
    use taplo::syntax::SyntaxKind::{COMMENT, IDENT, NEWLINE};
    let tokens = taplo::parser::parse(text).into_syntax();
    let tokens: Vec<_> = tokens.descendants_with_tokens().filter_map(taplo::rowan::NodeOrToken::into_token).collect();
    let mut found = Vec::new();
    let (mut last, mut on_line) = (String::new(), false);
    for (at, token) in tokens.iter().enumerate() {
        match token.kind() {
            NEWLINE => on_line = false,
            IDENT => (last, on_line) = (token.text().to_owned(), true),
            COMMENT => {
                let next =
                    || tokens[at..].iter().find(|token| token.kind() == IDENT).map(|token| token.text().to_owned());
                let by = if on_line { last.clone() } else { next().unwrap_or_default() };
                found.push((token.text().trim_end().to_owned(), by));
            }
            _ => {}
        }
    }
    found
}

fn options(crlf: bool) -> Options {
    Options {
        align_entries: false,
        align_comments: true,
        align_single_comments: false,
        array_trailing_comma: true,
        array_auto_expand: true,
        array_auto_collapse: false,
        inline_table_expand: false,
        compact_arrays: true,
        compact_inline_tables: false,
        compact_entries: false,
        column_width: WIDTH,
        indent_tables: false,
        indent_entries: false,
        indent_string: "  ".to_owned(),
        trailing_newline: true,
        reorder_keys: false,
        reorder_arrays: false,
        reorder_inline_tables: false,
        allowed_blank_lines: 1,
        crlf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_go_and_comments_and_order_stay() {
        let text = "# what\nengine=1\n\n\n\n[stage.b]  # second\nneeds=[ 'a' ,\"c\" ]\n  on =  \"x\"\nwrites.t = 1\n[stage.a]\non=\"y\"";
        let laid_out = formatted(text).expect("it is TOML");
        assert_eq!(
            laid_out,
            "# what\nengine = 1\n\n[stage.b] # second\nneeds = ['a', \"c\"]\non = \"x\"\nwrites.t = 1\n[stage.a]\non = \"y\"\n"
        );
        assert_eq!(formatted(&laid_out).expect("it is TOML"), laid_out);
    }

    #[test]
    fn texts_over_several_lines_are_left_alone() {
        let text = "[probe.x]\nsql = \"\"\"\n   SELECT 1,\n\t 2\n\n\n\n   FROM t\n\"\"\"\n";
        assert_eq!(formatted(text).expect("it is TOML"), text);
    }

    #[test]
    fn a_form_it_does_not_know_is_left_alone() {
        let text = "a = { x = 1, # why\n  # own\n y = 2,\n # last\n z = 3 }\nb=1\n";
        assert!(matches!(formatted(text), Err(Refused::Unknown(_))), "{:?}", formatted(text));
    }

    #[test]
    fn line_ends_stay_as_they_are() {
        assert_eq!(formatted("engine=1\r\n# x\r\na  = 2\r\n").expect("it is TOML"), "engine = 1\r\n# x\r\na = 2\r\n");
    }

    #[test]
    fn what_is_no_toml_is_refused() {
        assert!(formatted("a = = 1").is_err());
    }
}
