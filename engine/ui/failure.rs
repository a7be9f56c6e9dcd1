//! A refusal: which and why with every value; what was and was not changed; where it is written; what to type.

use crate::diag::visible::printable;
use crate::event::{Exit, Failure};
use std::io::IsTerminal;

/// Draws a failure, without a final newline.
pub fn draw(failure: &Failure) -> String {
    let word = match failure.exit {
        Exit::Blocked | Exit::NotEvaluable | Exit::WrongDatabase | Exit::Held => "blocked",
        Exit::Stuck => "stuck",
        _ => "failed",
    };
    let mut text = format!("{word}: {}", failure.what);
    for fact in &failure.facts {
        text.push_str("\n  ");
        text.push_str(&fact.replace('\n', "\n  "));
    }
    // DETAIL can carry rows: for the operator's own terminal, never for a log.
    if let Some(detail) = failure.detail.as_ref().filter(|_| std::io::stderr().is_terminal()) {
        text.push_str(&format!("\n  detail: {detail}"));
    }
    if let Some(changed) = &failure.changed {
        text.push_str(&format!("\n\n{changed}"));
    }
    let width = failure.next.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
    for (word, command) in &failure.next {
        text.push_str(&format!("\n  {word:<width$}  {command}"));
    }
    printable(&text, &['\n', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_what_why_changed_next() {
        let failure = Failure::new(Exit::Blocked, "gate `ratified` is false")
            .fact("ospa >= 1")
            .changed("production was not changed")
            .next("then", "the same command again");
        assert_eq!(
            draw(&failure),
            "blocked: gate `ratified` is false\n  ospa >= 1\n\nproduction was not changed\n  then  the same command again"
        );
    }
}
