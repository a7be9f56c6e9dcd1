//! The one layout of a plan file, so that a pull request shows what changed and not how it was typed. Comments and order stay.

use taplo::formatter::{Options, format};

/// Longest line before an array is spread over several.
const WIDTH: usize = 120;

/// The text in that layout. What it means is the same: it is read again and compared.
///
/// # Errors
/// It is no TOML, or the layout would change what it means: nothing is answered then.
pub fn formatted(text: &str) -> Result<String, String> {
    let meant: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    let laid_out = format(text, options());
    match laid_out.parse::<toml::Table>() {
        Ok(means) if means == meant => Ok(laid_out),
        _ => Err("its layout cannot be changed without changing what it means".to_owned()),
    }
}

fn options() -> Options {
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
        crlf: false,
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
    fn what_is_no_toml_is_refused() {
        assert!(formatted("a = = 1").is_err());
    }
}
