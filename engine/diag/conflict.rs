//! Merge conflicts that nobody has resolved: git's markers, each at the start of a line. Whatever else is wrong with such a
//! text is an echo of them.

use super::{Diagnostic, Place, Source};
use std::ops::Range;
use std::sync::Arc;

const OURS: &str = "<<<<<<<";
const PARTED: &str = "=======";
const THEIRS: &str = ">>>>>>>";

/// One diagnostic for each conflict of a text; none for a text that is whole.
pub fn conflicts(source: &Arc<Source>) -> Vec<Diagnostic> {
    if !source.text.contains(OURS) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut open: Option<(Range<usize>, bool)> = None;
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let span = at..at + line.trim_end().len();
        at += line.len();
        match open.take() {
            _ if marks(line, OURS) => open = Some((span, false)),
            Some((start, _)) if marks(line, PARTED) => open = Some((start, true)),
            Some((start, true)) if marks(line, THEIRS) => found.push(conflict(source, &start, &span)),
            still => open = still,
        }
    }
    found
}

/// Git writes a marker, then the end of the line or a blank and a name.
fn marks(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with(' '))
}

fn conflict(source: &Arc<Source>, start: &Range<usize>, end: &Range<usize>) -> Diagnostic {
    let (first, last) = (source.line(start.start), source.line(end.start));
    Diagnostic::new(
        "merge-conflict",
        format!("lines {first} to {last} are a merge conflict that nobody has resolved"),
        Place::new(source, start.clone()),
    )
    .label("git's marker")
    .related(Place::new(source, end.clone()), "up to here")
    .help("keep what is meant of both sides, remove the three lines of markers, then `git add`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_told_from_rules_and_operators() {
        let lines = |text: &str| -> Vec<String> {
            conflicts(&Source::new("p", text)).into_iter().map(|found| found.message).collect()
        };
        let one = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> other\nd\n";
        assert_eq!(lines(one), ["lines 2 to 6 are a merge conflict that nobody has resolved"]);
        // With the common ancestor, and Windows' ends of lines.
        let three = "<<<<<<< HEAD\r\nb\r\n||||||| base\r\nx\r\n=======\r\nc\r\n>>>>>>> o\r\n";
        assert_eq!(lines(&format!("{three}{three}")).len(), 2);
        for whole in [
            "a\n=======\nb\n",
            "SELECT 1 <<<<<<< 2\n=======\n>>>>>>> x\n",
            "<<<<<<<<\n=======\n>>>>>>>\n",
            " <<<<<<< HEAD\n=======\n>>>>>>> x\n",
        ] {
            assert_eq!(lines(whole), [""; 0], "{whole}");
        }
    }
}
