//! Words of the plan language: what may be a name, and how a run is called.
//!
//! A name is `[a-z][a-z0-9_]*`, at most 63 bytes (PostgreSQL's limit), and no word that any supported
//! PostgreSQL (15 to 18) reserves, since a name becomes a column alias in a predicate.

pub mod process;
pub mod quote;

/// Words with a meaning of their own in predicates.
pub const OURS: [&str; 6] = ["before", "wrote", "var", "now", "run", "stage"];

/// Class R and T of `pg_get_keywords()`, the union over PostgreSQL 15 to 18.
const RESERVED: &str = "all analyse analyze and any array as asc asymmetric authorization binary both case cast check \
collate collation column concurrently constraint create cross current_catalog current_date current_role \
current_schema current_time current_timestamp current_user default deferrable desc distinct do else end except \
false fetch for foreign freeze from full grant group having ilike in initially inner intersect into is isnull \
join lateral leading left like limit localtime localtimestamp natural not notnull null offset on only or order \
outer overlaps placing primary references returning right select session_user similar some symmetric system_user \
table tablesample then to trailing true union unique user using variadic verbose when where window with";

/// Why a word may not be a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not have the form `[a-z][a-z0-9_]*`.
    Form,
    /// More than 63 bytes.
    Long,
    /// Some supported PostgreSQL reserves it.
    Reserved,
    /// It means something else in a predicate.
    Ours,
    /// A file of every lock is called so.
    Lock,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Refused::Form => "a name is a lower case letter, then letters, digits and `_`",
            Refused::Long => "a name has at most 63 bytes",
            Refused::Reserved => "PostgreSQL reserves this word",
            Refused::Ours => "this word has a meaning of its own in predicates",
            Refused::Lock => "a file of every lock is called so",
        })
    }
}

/// Has `word` the form of a name: `[a-z][a-z0-9_]*`, at most 63 bytes?
///
/// # Errors
/// Says which rule it breaks. Reserved words pass: stages, guards and variables may be called so.
pub fn plain(word: &str) -> Result<(), Refused> {
    let mut bytes = word.bytes();
    let head = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
    if !head || !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err(Refused::Form);
    }
    if word.len() > 63 { Err(Refused::Long) } else { Ok(()) }
}

/// May `word` name something a predicate can read (a probe, a stage, a variable)?
///
/// # Errors
/// Says which rule it breaks.
pub fn readable(word: &str) -> Result<(), Refused> {
    plain(word)?;
    if OURS.contains(&word) {
        return Err(Refused::Ours);
    }
    if RESERVED.split_ascii_whitespace().any(|reserved| reserved == word) {
        return Err(Refused::Reserved);
    }
    Ok(())
}

/// The nearest of `known` to a word that is not among them, for "did you mean".
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(distance, k)| *distance <= 1 + k.len().max(word.len()) / 4)
        .min_by_key(|(distance, k)| (*distance, *k))
        .map(|(_, k)| k)
}

/// A fresh run id: eight characters of Crockford's base 32 in lower case, 40 random bits.
///
/// # Errors
/// The operating system gave no random bytes.
pub fn run_id() -> std::io::Result<String> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let bytes = random::<8>()?;
    // The first one is a letter, so that a run id is never mistaken for a number.
    let letter = char::from(ALPHABET[10 + usize::from(bytes[0]) % 22]);
    Ok(std::iter::once(letter).chain(bytes[1..].iter().map(|b| char::from(ALPHABET[usize::from(*b) % 32]))).collect())
}

/// Random bytes of the system.
///
/// # Errors
/// It has none.
pub fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    use std::io::Read;
    let mut bytes = [0u8; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_form() {
        assert_eq!(plain("a_seed2"), Ok(()));
        for bad in ["", "A", "2a", "a-b", "ä", "_a"] {
            assert_eq!(plain(bad), Err(Refused::Form), "{bad}");
        }
        assert_eq!(plain(&"a".repeat(64)), Err(Refused::Long));
    }

    #[test]
    fn what_a_predicate_reads_is_no_keyword() {
        assert_eq!(readable("user"), Err(Refused::Reserved));
        assert_eq!(readable("system_user"), Err(Refused::Reserved));
        assert_eq!(readable("before"), Err(Refused::Ours));
        assert_eq!(readable("gap"), Ok(()));
    }

    #[test]
    fn suggestions_are_near() {
        assert_eq!(nearest("gurad", ["guard", "needs"]), Some("guard"));
        assert_eq!(nearest("zzz", ["guard", "needs"]), None);
    }

    #[test]
    fn run_ids_differ_and_are_plain() {
        let (a, b) = (run_id().expect("random"), run_id().expect("random"));
        assert_ne!(a, b);
        assert_eq!(plain(&a), Ok(()));
        assert_eq!(a.len(), 8);
    }
}
