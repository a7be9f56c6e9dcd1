//! What is read in one go: a whole table, or a range of its pages.

/// Rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// For messages.
    pub name: String,
    /// `SELECT columns FROM ONLY table`, quoted by the server; a condition may be added.
    pub select: String,
    /// `table (columns)`, where a plain COPY of a whole table yields the same: the server runs no query for it then.
    pub plain: Option<String>,
    /// Fields of a row.
    pub fields: usize,
    /// Pages of its main file at or after the snapshot; 0: it cannot be taken in ranges.
    pub pages: u64,
    /// Bytes it is expected to have, for the order and the shares.
    pub bytes: u64,
    /// Its file had no page when the snapshot was there already: it is not read.
    pub empty: bool,
}

/// A part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Index of its source.
    pub source: usize,
    /// From this page, up to and without that one (`None`: to the end).
    pub pages: Option<(u64, Option<u64>)>,
    /// Bytes it is expected to have.
    pub bytes: u64,
}

/// Not worth a session of its own.
const SMALL: u64 = 32 << 20;
/// No range is larger: it is one transaction, and what is lost when that fails.
const LARGE: u64 = 1 << 30;

/// When a table is taken in ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Rows are only read: sessions are to end together.
    Evenly,
    /// Loading, building and hashing keep the processors busy as well: only where a table alone would keep one worker
    /// busy while others have nothing. The server takes a quarter longer over a range than over a whole table, and one
    /// that is loaded whole is frozen, so that whoever reads it next finds nothing to write down in its pages.
    Rarely,
}

/// Chunks, largest first.
pub fn plan(sources: &[Source], workers: usize, split: Split) -> Vec<Chunk> {
    let total: u64 = sources.iter().map(|source| source.bytes).sum();
    let jobs = u64::try_from(workers.max(1)).unwrap_or(1);
    let share = match split {
        Split::Evenly => total / (jobs * 2),
        Split::Rarely => total / (jobs - 1).max(1),
    };
    let share = share.max(SMALL);
    let range = (total / (jobs * 8)).clamp(SMALL, LARGE);
    let mut chunks = Vec::new();
    for (source, of) in sources.iter().enumerate().filter(|(_, of)| !of.empty) {
        if workers < 2 || of.pages < 2 || of.bytes <= share {
            chunks.push(Chunk { source, pages: None, bytes: of.bytes });
            continue;
        }
        let parts = of.bytes.div_ceil(range).min(of.pages);
        for part in 0..parts {
            // The last one is open: the table may have grown by rows that the snapshot sees.
            let end = (part + 1 < parts).then(|| of.pages * (part + 1) / parts);
            let pages = Some((of.pages * part / parts, end));
            chunks.push(Chunk { source, pages, bytes: of.bytes / parts });
        }
    }
    chunks.sort_by_key(|chunk| std::cmp::Reverse(chunk.bytes));
    chunks
}

/// Of so many workers, those that have something to do: at least one.
pub fn workers(sources: &[Source], jobs: usize, split: Split) -> usize {
    plan(sources, jobs, split).len().clamp(1, jobs.max(1))
}

impl Chunk {
    /// The COPY that yields its rows in binary form.
    pub fn copy(&self, source: &Source) -> String {
        match (&source.plain, self.pages) {
            (Some(table), None) => format!("COPY {table} TO STDOUT (FORMAT binary)"),
            _ => format!("COPY ({}) TO STDOUT (FORMAT binary)", self.select(source)),
        }
    }

    /// The query that yields its rows.
    pub fn select(&self, source: &Source) -> String {
        let tid = |page: u64| format!("'({page},0)'::pg_catalog.tid");
        match self.pages {
            None => source.select.clone(),
            Some((from, None)) => format!("{} WHERE ctid OPERATOR(pg_catalog.>=) {}", source.select, tid(from)),
            Some((from, Some(end))) => format!(
                "{} WHERE ctid OPERATOR(pg_catalog.>=) {} AND ctid OPERATOR(pg_catalog.<) {}",
                source.select,
                tid(from),
                tid(end)
            ),
        }
    }
}

impl Chunk {
    /// The same for rows that fulfil a condition.
    pub fn select_where(&self, source: &Source, condition: &str) -> String {
        let word = if self.pages.is_some() { "AND" } else { "WHERE" };
        format!("{} {word} {condition}", self.select(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: u64) -> Source {
        Source {
            name: "t".into(),
            select: "SELECT a FROM ONLY t".into(),
            plain: Some("t (a)".into()),
            fields: 1,
            pages: bytes / 8192,
            bytes,
            empty: bytes == 0,
        }
    }

    #[test]
    fn ranges_leave_no_page_out() {
        let chunks = plan(&[source(10 << 30), source(1 << 20)], 4, Split::Evenly);
        let mut ranges: Vec<_> = chunks.iter().filter(|c| c.source == 0).filter_map(|c| c.pages).collect();
        ranges.sort_unstable();
        assert!(ranges.len() > 8, "{}", ranges.len());
        assert_eq!(ranges[0].0, 0);
        for pair in ranges.windows(2) {
            assert_eq!(pair[0].1, Some(pair[1].0));
        }
        assert_eq!(ranges.last().and_then(|last| last.1), None);
        assert_eq!(chunks.last(), Some(&Chunk { source: 1, pages: None, bytes: 1 << 20 }));
    }

    #[test]
    fn tables_are_whole_where_there_are_enough_of_them() {
        let many: Vec<Source> = (0..40).map(|_| source(1 << 30)).collect();
        assert!(plan(&many, 4, Split::Evenly).iter().all(|chunk| chunk.pages.is_none()));
        assert!(plan(&[source(1 << 40)], 1, Split::Evenly).iter().all(|chunk| chunk.pages.is_none()));
        let odd = Source { pages: 0, ..source(1 << 40) };
        assert!(plan(&[odd], 4, Split::Evenly).iter().all(|chunk| chunk.pages.is_none()));
        assert_eq!(plan(&[source(0)], 4, Split::Evenly), []);
    }

    #[test]
    fn a_big_table_is_split_where_many_would_wait_for_it() {
        let sources = [source(10 << 30), source(2 << 30)];
        let ranges = |workers, split| plan(&sources, workers, split).iter().filter(|c| c.pages.is_some()).count();
        assert_eq!(ranges(2, Split::Rarely), 0);
        assert!(ranges(2, Split::Evenly) > 1);
        assert!(ranges(3, Split::Rarely) > 3);
        assert!(ranges(8, Split::Rarely) > 8);
        let workers = |sources: &[Source], jobs| workers(sources, jobs, Split::Rarely);
        assert_eq!((workers(&sources, 2), workers(&sources, 8)), (2, 8));
        assert_eq!((workers(&sources[..1], 2), workers(&sources[..1], 8), workers(&[], 8)), (1, 8, 1));
    }
}
