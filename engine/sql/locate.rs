//! From bytes of a value to bytes of the plan that holds it.

use crate::diag::Place;
use std::ops::Range;

/// The place of bytes `inner` of `text`, which stands at `place`.
///
/// The span of a one-line string is its text; around a multi-line one stand quotes and a line break. Where
/// the file writes the value with escapes the bytes do not correspond, and the whole value is the place.
pub fn locate(place: &Place, text: &str, inner: Range<usize>) -> Place {
    let shown = place.source.text.get(place.span.clone()).unwrap_or_default();
    match shown.find(text) {
        Some(offset) if !text.is_empty() => place.within(offset + inner.start..offset + inner.end),
        _ => place.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Source;

    #[test]
    fn a_multi_line_value_is_found_inside_its_quotes() {
        let source = Source::new("p", "g = \"\"\"\na = 1\n\"\"\"\nh = \"x\\ty\"");
        let value = Place::new(&source, 4..17);
        assert_eq!(&source.text[locate(&value, "a = 1\n", 0..1).span], "a");
        let escaped = Place::new(&source, 22..27);
        assert_eq!(locate(&escaped, "x\ty", 2..3), escaped);
    }
}
