//! The owner map laid over owners and privileges.

use std::collections::BTreeSet;

/// Pairs of production's owner and the role that owns its objects in the clone.
#[derive(Clone, Debug)]
pub(super) struct OwnerMap<'m> {
    pairs: &'m [(String, String)],
}

impl<'m> OwnerMap<'m> {
    pub(super) fn new(pairs: &'m [(String, String)]) -> OwnerMap<'m> {
        OwnerMap { pairs }
    }

    /// The role a role stands for. `pg_database_owner` owns `public` until a clone's owner does.
    pub(super) fn role<'r>(&'r self, role: &'r str) -> &'r str {
        let mapped = self.pairs.iter().find(|(from, _)| from == role);
        let mapped = mapped.or_else(|| self.pairs.first().filter(|_| role == "pg_database_owner"));
        mapped.map_or(role, |(_, to)| to)
    }

    fn owns(&self, role: &str) -> bool {
        self.pairs.iter().any(|(_, to)| to == role)
    }

    /// Privileges with roles mapped, what an owner holds on its own objects left out, and `MAINTAIN` on demand.
    pub(super) fn privileges(&self, lines: &str, without_maintain: bool) -> BTreeSet<String> {
        lines.lines().filter_map(|line| self.privilege(line, without_maintain)).collect()
    }

    fn privilege(&self, line: &str, without_maintain: bool) -> Option<String> {
        let (grantee, rest) = token(line, '=');
        let (privilege, grantor) = rest.trim_start_matches('=').split_once('/')?;
        let (grantor, _) = token(grantor, '/');
        let (grantee, grantor) = (self.role(&grantee), self.role(&grantor));
        let maintains = privilege.trim_end_matches('*') == "MAINTAIN";
        let left_out = self.owns(grantee) || (without_maintain && maintains);
        (!left_out).then(|| format!("{grantee}={privilege}/{grantor}"))
    }

    /// `default privileges of ROLE ...` with the role mapped.
    pub(super) fn default_privileges(&self, identity: &str) -> String {
        const START: &str = "default privileges of ";
        let Some(rest) = identity.strip_prefix(START) else { return identity.to_owned() };
        let (role, rest) = token(rest, ' ');
        format!("{START}{}{rest}", self.role(&role))
    }
}

/// A role's name, quoted or not, and what follows; an unquoted one ends before `end`.
fn token(text: &str, end: char) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let at = text.find(end).unwrap_or(text.len());
        return (text[..at].to_owned(), &text[at..]);
    };
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if c == '"' && characters.next_if(|(_, next)| *next == '"').is_none() {
            return (quoted[..at].replace("\"\"", "\""), &quoted[at + 1..]);
        }
    }
    (quoted.to_owned(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> Vec<(String, String)> {
        vec![("directus".into(), "engine_owner".into()), ("odd = \"x\"/y".into(), "engine_owner".into())]
    }

    #[test]
    fn owners_are_renamed_and_their_own_rights_left_out() {
        let pairs = pairs();
        let map = OwnerMap::new(&pairs);
        let production = "-=USAGE/pg_database_owner\ndirectus=SELECT/directus\nreader=SELECT*/directus\n\"odd = \"\"x\"\"/y\"=SELECT/directus";
        let clone = "-=USAGE/engine_owner\nengine_owner=INSERT/engine_owner\nreader=SELECT*/engine_owner";
        assert_eq!(map.privileges(production, false), map.privileges(clone, false));
        assert_ne!(
            map.privileges("reader=SELECT/directus", false),
            map.privileges("reader=SELECT*/engine_owner", false)
        );
    }

    #[test]
    fn maintain_is_left_out_across_versions_only() {
        let pairs = pairs();
        let map = OwnerMap::new(&pairs);
        assert!(map.privileges("a=MAINTAIN/b", true).is_empty());
        assert_eq!(map.privileges("a=MAINTAIN*/b", false).len(), 1);
    }

    #[test]
    fn default_privileges_change_hands() {
        let pairs = pairs();
        let map = OwnerMap::new(&pairs);
        assert_eq!(
            map.default_privileges("default privileges of directus in schema public on tables"),
            "default privileges of engine_owner in schema public on tables"
        );
        assert_eq!(map.default_privileges("table x"), "table x");
    }
}
