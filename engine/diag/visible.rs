//! What cannot be seen, looks like a plain blank or steers a terminal, as something that can be read: `<U+202E>`.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// What is shown instead of a character that shows nothing; `None`: it shows itself.
#[must_use]
pub fn visible(c: char) -> Option<String> {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate, Unassigned,
    };
    if c == ' ' || c.is_ascii_graphic() {
        return None;
    }
    let unseen = match c.general_category() {
        Control | Format | LineSeparator | ParagraphSeparator | PrivateUse | SpaceSeparator | Surrogate
        | Unassigned => true,
        _ => is_blank(c),
    };
    unseen.then(|| format!("<U+{:04X}>", u32::from(c)))
}

/// Letters, marks and symbols without a picture: those of Unicode's `Default_Ignorable_Code_Point` that have such a category,
/// and the pattern of Braille without a dot.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

/// A text that neither steers a terminal nor hides anything from who reads it; `kept` stays as it is.
#[must_use]
pub fn printable(text: &str, kept: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match visible(c).filter(|_| !kept.contains(&c)) {
            Some(shown) => out.push_str(&shown),
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_nothing_is_shown() {
        let unseen = [
            '\0',
            '\u{1b}',
            '\t',
            '\u{7f}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{1680}',
            '\u{180e}',
            '\u{2003}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{202f}',
            '\u{205f}',
            '\u{2060}',
            '\u{2065}',
            '\u{2069}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fffb}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e01ef}',
            '\u{10ffff}',
        ];
        for c in unseen {
            assert_eq!(visible(c), Some(format!("<U+{:04X}>", u32::from(c))), "{c:?}");
        }
        let seen = "a Z_~é ß 北 й א € — \u{301}";
        assert_eq!(printable(seen, &[]), seen);
    }

    #[test]
    fn what_is_kept_stays() {
        assert_eq!(printable("a\u{1b}[2J\tb\n", &['\t', '\n']), "a<U+001B>[2J\tb\n");
        assert_eq!(printable("\t\u{a0}", &[]), "<U+0009><U+00A0>");
    }
}
