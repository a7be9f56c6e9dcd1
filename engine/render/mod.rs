//! Templates become SQL text: the same template and values always give the same bytes.
//!
//! Start at `Renderer`. `files` reads templates under the rules of the safety page, `values` is the only
//! way from a value to SQL, `inside` sees where that SQL came to stand, `problem` turns the template engine's errors into diagnostics, `lock` is the
//! lock's folder. No clock, no random, no environment, no network; nothing here knows a plan.

// Diagnostics are made once per mistake; callers collect them as they are.
#![allow(clippy::result_large_err)]

mod files;
mod inside;
pub mod lock;
mod problem;
mod values;

pub use values::Value;

use crate::diag::{Diagnostic, Place, Source};
use crate::digest;
use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Longest output, in bytes.
const LONGEST_OUTPUT: usize = 16 << 20;

/// Steps of the template engine before it gives up: a second or so of looping.
const FUEL: u64 = 5_000_000;

/// Longest expansion of names: macros that call themselves end here.
const DEEPEST: usize = 50;

/// Renders templates with one set of variables. Each file is read once.
#[derive(Debug)]
pub struct Renderer {
    files: files::Files,
    vars: BTreeMap<String, Value>,
    /// The template engines, made once: for SQL, and for what is none.
    engines: [OnceLock<Environment<'static>>; 2],
}

/// A rendered text.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// SHA-256 of the text, 64 hex digits.
    pub sha256: String,
    /// What it was rendered from.
    pub template: Arc<Source>,
}

/// What may stand bare in `{{ }}`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bare {
    /// SQL: numbers and booleans only.
    Numbers,
    /// Not SQL: strings as well.
    Strings,
}

impl Renderer {
    /// Renders with `vars`, templates from below `root`.
    pub fn new(root: PathBuf, vars: BTreeMap<String, Value>) -> Self {
        Renderer { files: files::Files::new(root), vars, engines: Default::default() }
    }

    /// Renders the template file `path`, relative to the root; `place` is where the plan names it. `extra` are
    /// values besides the variables, before which they go; a key `a.b` is read as `b` of `a`.
    pub fn file(&self, path: &str, place: &Place, extra: &BTreeMap<String, Value>) -> Result<Rendered, Diagnostic> {
        let template = self.files.read(path, place)?;
        let text = self.render(&template, extra, Bare::Numbers).map_err(|problem| problem.in_file(&template, place))?;
        Ok(Rendered { sha256: digest::hex(text.as_bytes()), text, template })
    }

    /// Renders SQL that the plan holds at `place`; `name` is what it is shown as, such as `probe.gap`.
    pub fn inline(
        &self,
        name: &str,
        text: &str,
        place: &Place,
        extra: &BTreeMap<String, Value>,
    ) -> Result<Rendered, Diagnostic> {
        let template = Source::new(name, text);
        let text = self.render(&template, extra, Bare::Numbers).map_err(|problem| problem.in_plan(&template, place))?;
        Ok(Rendered { sha256: digest::hex(text.as_bytes()), text, template })
    }

    /// Renders a short text that is not SQL (a database's name, a packet's id): strings may stand bare.
    pub fn plain(
        &self,
        name: &str,
        text: &str,
        place: &Place,
        extra: &BTreeMap<String, Value>,
    ) -> Result<String, Diagnostic> {
        let template = Source::new(name, text);
        self.render(&template, extra, Bare::Strings).map_err(|problem| problem.in_plan(&template, place))
    }

    /// The text of a template file, unrendered, under the same rules.
    pub fn template(&self, path: &str, place: &Place) -> Result<Arc<Source>, Diagnostic> {
        self.files.read(path, place)
    }

    /// Every template file that was read so far.
    pub fn sources(&self) -> Vec<Arc<Source>> {
        self.files.sources()
    }

    fn environment(&self, bare: Bare) -> Result<&Environment<'static>, minijinja::Error> {
        let engine = &self.engines[usize::from(bare == Bare::Strings)];
        if let Some(made) = engine.get() {
            return Ok(made);
        }
        let made = environment(bare)?;
        Ok(engine.get_or_init(|| made))
    }

    fn render(
        &self,
        template: &Source,
        extra: &BTreeMap<String, Value>,
        bare: Bare,
    ) -> Result<String, problem::Problem> {
        if template.text.contains(inside::MARK) {
            return Err(problem::Problem::nul(template));
        }
        // Most templates are SQL and nothing else.
        if !OPENING.iter().any(|sign| template.text.contains(sign)) {
            return Ok(template.text.clone());
        }
        let known: BTreeMap<&str, &Value> =
            self.vars.iter().chain(extra).map(|(name, value)| (name.as_str(), value)).collect();
        let problem = |error: minijinja::Error| problem::Problem::of(&error, template, &known);
        let environment = self.environment(bare).map_err(problem)?;
        let parsed = environment.template_from_named_str(&template.path, &template.text).map_err(problem)?;
        if let Some(problem) = problem::undefined(&parsed.undeclared_variables(true), &known, template) {
            return Err(problem);
        }
        if let Some(problem) = problem::sensitive(&parsed.undeclared_variables(true), &known, template) {
            return Err(problem);
        }
        let mut out = Bounded(Vec::new());
        let rendered = parsed.render_captured_to(values::context(&known), &mut out);
        rendered.map_err(problem)?;
        let text = String::from_utf8(out.0).map_err(|_| problem::Problem::long())?;
        match bare {
            Bare::Numbers => {
                inside::placed(&text).map_err(|misplaced| problem::Problem::misplaced(template, misplaced))
            }
            Bare::Strings => Ok(text),
        }
    }
}

/// What begins a value, a statement or a comment of a template.
const OPENING: [&str; 3] = ["{{", "{%", "{#"];

/// The template engine with our few filters and nothing else.
fn environment(bare: Bare) -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::empty();
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEEPEST);
    environment.set_formatter(move |out, _, value| values::write(out, value, bare == Bare::Strings));
    values::add_filters(&mut environment);
    Ok(environment)
}

/// Output that ends with an error instead of filling the memory.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_OUTPUT {
            return Err(std::io::Error::other(problem::TOO_LONG));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
