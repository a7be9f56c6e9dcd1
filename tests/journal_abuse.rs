//! The journal of a real run, spoilt in every way: each byte changed, lines removed, exchanged and doubled, the end cut
//! off, the file gone. It is refused with the line and the reason, and never repaired but for a last line without its end.

mod support;

use engine::journal::{Chain, parse};
use std::sync::OnceLock;
use support::{Bench, to_the_packet};

/// A run to its packet, with a stage that commits and proves. For tests that leave its files alone.
fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| made("abuse"))
}

fn made(name: &str) -> Bench {
    let bench = Bench::mini(name, "");
    let a = bench.mini_stage(
        "a",
        "\"base\"",
        "writes.u = 1\nprove = [\"reversible\"]",
        "INSERT INTO u VALUES (1, 'a')",
        Some("DELETE FROM u"),
    );
    bench.mini_plan(&format!("{a}{}", to_the_packet("\"a\"", "\"a\"", "oks = 77")));
    bench.mini_apply(&[]).expect(0);
    bench
}

fn bytes(bench: &Bench) -> Vec<u8> {
    bench.read(&bench.of_run("journal.jsonl")).into_bytes()
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

/// The line and the reason; nothing for a journal that is whole.
fn trouble(bytes: &[u8]) -> Option<(u64, String)> {
    parse(bytes).err().map(|trouble| (trouble.line, trouble.what))
}

/// Each byte of each line but its newline, with each of its bits changed in turn. The chain up to a line is followed once.
#[test]
fn every_bit_of_every_line_is_seen() {
    let bytes = bytes(bench());
    let lines = lines(&bytes);
    let (mut chain, mut only_anchored) = (Chain::default(), 0);
    for (index, line) in lines.iter().enumerate() {
        let (number, raw) = (index as u64 + 1, &line[..line.len() - 1]);
        for (at, bit) in (0..raw.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            // All bits of every 16th byte, one bit of the others: a run of lines is long.
            if at % 16 != 0 && bit != at % 8 {
                continue;
            }
            let mut changed = raw.to_vec();
            changed[at] ^= 1 << bit;
            let mut spoilt = chain.clone();
            match (spoilt.take(&changed), lines.get(index + 1)) {
                // The line itself: no event, or one that cannot be there.
                (Err(trouble), _) => assert_eq!(trouble.line, number, "{trouble:?}"),
                // It could be; the next one says that it was another.
                (Ok(_), Some(next)) => {
                    let trouble = spoilt.take(&next[..next.len() - 1]).expect_err("a changed line");
                    let said = (trouble.line, trouble.what.as_str());
                    assert_eq!(said, (number + 1, "does not follow the line before it"), "line {number}, byte {at}");
                }
                // The last one: only an anchor shows it.
                (Ok(_), None) => {
                    let mut whole = chain.clone();
                    whole.take(raw).expect("the real line");
                    assert_ne!(spoilt.head(), whole.head(), "byte {at} of the last line changes no hash");
                    only_anchored += 1;
                }
            }
        }
        chain.take(raw).expect("the real line");
    }
    // How many depends on what the line says (times, digests); that there are some does not.
    assert!(only_anchored > 0, "the last line is not among them");
}

#[test]
fn every_newline_is_seen() {
    let bytes = bytes(bench());
    let mut number = 0;
    for at in (0..bytes.len() - 1).filter(|at| bytes[*at] == b'\n') {
        number += 1;
        let mut changed = bytes.clone();
        changed[at] = b'\x0b';
        let (line, what) = trouble(&changed).expect("two lines in one");
        assert!(line == number && what.starts_with("is no event that this engine knows: "), "line {line}: {what}");
        changed.remove(at);
        let (line, what) = trouble(&changed).expect("two lines in one");
        assert!(line == number && what.starts_with("is no event that this engine knows: "), "line {line}: {what}");
    }
    let mut changed = bytes.clone();
    changed.insert(bytes.len(), b'\n');
    assert_eq!(trouble(&changed), Some((number + 2, "an empty line".to_owned())));
}

/// Removed, exchanged with the next one, doubled: which line does not fit, and why.
#[test]
fn lines_that_are_not_in_their_place_are_seen() {
    let bytes = bytes(bench());
    let lines = lines(&bytes);
    let not_first = "the first line does not begin the run that its hash names";
    let unlinked = "does not follow the line before it";
    for at in 0..lines.len() {
        let (number, why) = (at as u64 + 1, if at == 0 { not_first } else { unlinked });
        let removed = [&lines[..at], &lines[at + 1..]].concat().concat();
        let last = at + 1 == lines.len();
        assert_eq!(trouble(&removed), (!last).then(|| (number, why.to_owned())), "line {number} removed");
        let doubled = [&lines[..=at], &lines[at..]].concat().concat();
        assert_eq!(trouble(&doubled), Some((number + 1, unlinked.to_owned())), "line {number} doubled");
        if !last {
            let swapped = [&lines[..at], &[lines[at + 1], lines[at]], &lines[at + 2..]].concat().concat();
            assert_eq!(trouble(&swapped), Some((number, why.to_owned())), "line {number} exchanged");
        }
    }
}

/// Cut at every length: what is left of a line counts as torn, and whole lines stay as they were.
#[test]
fn a_cut_at_every_length_is_a_torn_line_or_none() {
    let bytes = bytes(bench());
    let lines = lines(&bytes);
    let mut from = 0;
    let mut chain = Chain::default();
    for (index, line) in lines.iter().enumerate() {
        for length in 0..line.len() {
            // Of this line only: what is before it was taken.
            let left = parse(&[lines[0], &line[..length]].concat());
            let history = left.expect("torn, not tampered");
            assert_eq!((history.lines.len(), history.torn_bytes), (1, length as u64), "line {}", index + 1);
        }
        let whole = parse(&bytes[..from]).expect("whole lines");
        assert_eq!((whole.lines.len(), whole.torn_bytes, whole.whole_bytes), (index, 0, from as u64));
        assert_eq!(whole.head, chain.head());
        chain.take(&line[..line.len() - 1]).expect("the real line");
        from += line.len();
    }
}

/// The verbs, each way once and at the places that matter: the first, the last, and one in the middle.
#[test]
fn the_verbs_refuse_it_and_say_where() {
    let bench = &made("abuse_verbs");
    let (file, run) = (bench.of_run("journal.jsonl"), bench.run_id());
    let bytes = bytes(bench);
    let lines = lines(&bytes);
    let (count, middle) = (lines.len(), lines.len() / 2);
    let refuse = |spoilt: &[u8], says: &[&str], verbs: &[&str]| {
        std::fs::write(bench.home().join(&file), spoilt).expect("a journal");
        for verb in verbs {
            let said = bench.engine(&[verb, &run]);
            assert_eq!(said.code, 62, "{verb} {says:?}\n{}", said.all());
            let said = said.says(says);
            assert!(said.all().contains("never repaired"), "{}", said.all());
        }
        let now = std::fs::read(bench.home().join(&file)).expect("a journal");
        assert!(now == spoilt, "it was repaired: {says:?}");
    };
    let all = ["verify", "resume", "status"];
    for at in [0, middle, count - 2] {
        let number = at + 1;
        let why = if at == 0 { "the first line does not begin the run" } else { "does not follow the line before it" };
        let removed = [&lines[..at], &lines[at + 1..]].concat().concat();
        refuse(&removed, &["TAMPERED", &format!("line {number}: {why}")], &all);
        let doubled = [&lines[..=at], &lines[at..]].concat().concat();
        refuse(&doubled, &["TAMPERED", &format!("line {}: does not follow", number + 1)], &all);
        let swapped = [&lines[..at], &[lines[at + 1], lines[at]], &lines[at + 2..]].concat().concat();
        refuse(&swapped, &["TAMPERED", &format!("line {number}: {why}")], &all);
        let mut flipped = bytes.clone();
        let begin: usize = lines[..at].iter().map(|line| line.len()).sum();
        flipped[begin + 2] ^= 1;
        refuse(&flipped, &["TAMPERED", &format!("line {number}: is no event")], &all);
    }
    refuse(b"", &["is empty", "line 1: there is none", "engine runs"], &all);
    refuse(&bytes[..40], &["is empty", "line 1: there is none"], &all);

    // Cut at the end of a line, or its last line another one: whole for the chain, and the anchors know better.
    let by = format!("the marker of its clone `{}`", bench.clone_name());
    for left in [1, 5, middle, count - 1] {
        let cut = lines[..left].concat();
        let place = format!("line {}: the journal ends before it, and was anchored at line ", left + 1);
        refuse(&cut, &["TAMPERED", &by, &place], &["resume"]);
        refuse(&cut, &["TAMPERED", &place], &["verify"]);
        // And in the middle of the next line: what is torn may be cut, what was anchored may not be gone.
        let torn = [&lines[..left].concat(), &lines[left][..10]].concat();
        refuse(&torn, &["TAMPERED", &by, &place], &["resume"]);
    }
    let mut last = bytes.clone();
    let digit = bytes.windows(10).rposition(|w| w == b"\"mono_ns\":").expect("the last line") + 12;
    assert!(digit > bytes.len() - lines[count - 1].len());
    last[digit] ^= 1;
    assert_eq!(trouble(&last), None, "the chain shows it");
    let place = format!("line {count}: it, or one before it, is not the one that was anchored");
    refuse(&last, &["TAMPERED", &by, &place], &["verify", "resume"]);
    // Every line of it written anew, each in its place in a chain of its own.
    let text = String::from_utf8(bytes.clone()).expect("UTF-8").replace("\"host\":\"", "\"host\":\"x");
    let anew = chained(&text);
    assert_eq!(trouble(&anew), None, "this forger is no good");
    refuse(&anew, &["TAMPERED", &place], &["resume"]);
    refuse(&anew, &["TAMPERED", "is not the one that was anchored"], &["verify"]);

    // A digit is no newer format.
    let mut digit = bytes.clone();
    digit[lines[..middle].iter().map(|line| line.len()).sum::<usize>() + 5] = b'2';
    refuse(&digit, &["TAMPERED", &format!("line {}: format 2 is not known", middle + 1)], &all);

    std::fs::remove_file(bench.home().join(&file)).expect("a journal");
    for verb in all {
        bench.engine(&[verb, &run]).expect(62).says(&["is gone", "line 1: there is none", "never repaired"]);
    }

    // An anchor that is ahead of the file.
    std::fs::write(bench.home().join(&file), &bytes).expect("a journal");
    let (packet, _) = bench.packet();
    let head = format!("{packet}/evidence/head.txt");
    let text = bench.read(&head);
    let (_, hash) = text.trim().split_once(' ').expect("a number and a hash");
    bench.write(&head, &format!("{} {hash}\n", count + 7));
    let ahead = format!("line {}: the journal ends before it, and was anchored at line {}", count + 1, count + 7);
    // A packet's is sealed: one that says something else is no anchor.
    bench.engine(&["verify", &run]).expect(62).says(&["is not what was sealed", "evidence/head.txt  differs"]);
    bench.write(&head, &text);
    let marker = |change: &str| {
        let sql = format!(
            "SELECT format('COMMENT ON DATABASE %I IS %L', datname, {change}) FROM pg_database, shobj_description(oid, 'pg_database') AS c WHERE datname = '{}'",
            bench.clone_name()
        );
        let sql = bench.psql("postgres", &sql);
        bench.psql("postgres", &sql);
    };
    marker(&format!("jsonb_set(c::jsonb, '{{head,0}}', '{}')", count + 7));
    for verb in ["verify", "resume"] {
        bench.engine(&[verb, &run]).expect(62).says(&[&by, &ahead]);
    }
    marker(&format!("jsonb_set(c::jsonb, '{{head,0}}', '{count}')"));

    // As it was: all of it is anchored. A line that was begun and not ended is the one thing that is repaired.
    let anchored = format!("anchored up to event {count} of {count} by {by}; 0 are not");
    bench.engine(&["verify", &run]).expect(0).says(&[&anchored]);
    std::fs::write(bench.home().join(&file), [&bytes[..], br#"{"v":1,"se"#].concat()).expect("a journal");
    bench.engine(&["status", &run]).expect(0);
    bench.engine(&["verify", &run]).expect(0).says(&["10 bytes of a half-written one", &anchored]);
    bench.engine(&["resume", &run]).expect(0);
    let now = std::fs::read(bench.home().join(&file)).expect("a journal");
    assert!(now.starts_with(&bytes) && now[bytes.len()..].starts_with(br#"{"v":1,"seq":"#), "it was not repaired");

    // Without the clone the packet's anchor is left, and what it does not hold is said.
    bench.engine(&["drop", &run]).expect(0);
    bench.engine(&["verify", &run]).expect(0).says(&["not asked: there is no clone", "by the packet "]);
}

/// What its marker knew is gone with the clone. What the packet was sealed with is not, also where no line names it.
#[test]
fn without_the_clone_the_packet_tells_what_was_cut() {
    let bench = &made("abuse_packet");
    let (file, run, (packet, _)) = (bench.of_run("journal.jsonl"), bench.run_id(), bench.packet());
    bench.engine(&["drop", &run]).expect(0);
    let (bytes, head) = (bytes(bench), format!("{packet}/evidence/head.txt"));
    let sealed = bench.read(&head);
    let (count, hash) = sealed.split_once(' ').expect("a number and a hash");
    let count: usize = count.parse().expect("a number");
    bench.write(&head, &format!("{} {hash}", count - 1));
    bench.engine(&["verify", &run]).expect(62).says(&["is not what was sealed", "evidence/head.txt  differs"]);
    bench.write(&head, &sealed);
    bench.engine(&["verify", &run]).expect(0).says(&["by the packet "]);
    std::fs::write(bench.home().join(&file), lines(&bytes)[..count - 3].concat()).expect("a journal");
    let place = format!("line {}: the journal ends before it, and was anchored at line {count}", count - 2);
    bench.engine(&["verify", &run]).expect(62).says(&["TAMPERED", "the packet ", &place]);
}

/// Lines that a newer engine wrote, in a chain that fits, are no forgery: what they say is not known here.
#[test]
fn a_newer_format_is_told_as_one() {
    let bench = &made("abuse_format");
    let (file, run) = (bench.of_run("journal.jsonl"), bench.run_id());
    let bytes = bytes(bench);
    let text = String::from_utf8(bytes.clone()).expect("UTF-8");
    let count = text.lines().count();
    // The first line that is of it; and of events that this engine has no word for.
    for first in [0, 3, count - 1] {
        let newer = |(index, line): (usize, &str)| {
            let line = if index < first { line.to_owned() } else { line.replacen("\"v\":1", "\"v\":2", 1) };
            let unknown = index >= first && index > 0;
            if unknown { line.replacen("\"type\":\"", "\"type\":\"un", 1) } else { line }
        };
        let text: Vec<String> = text.lines().enumerate().map(newer).collect();
        let spoilt = chained(&text.join("\n"));
        std::fs::write(bench.home().join(&file), &spoilt).expect("a journal");
        for verb in ["verify", "resume", "status"] {
            let said = bench.engine(&[verb, &run]).expect(62);
            let said = said.says(&["is of format 2, and this engine reads format 1", "nothing was changed"]);
            let said = said.says(&[&format!("line {}: format 2 is not known", first + 1), "the engine that wrote it"]);
            assert!(!said.all().contains("TAMPERED"), "{}", said.all());
        }
        assert!(std::fs::read(bench.home().join(&file)).expect("a journal") == spoilt, "it was changed");
    }
    std::fs::write(bench.home().join(&file), &bytes).expect("a journal");
}

/// The next line holds the bytes of the one before it; nothing in the journal holds those of the last one.
#[test]
fn an_event_of_a_newer_engine_is_told_as_one_unless_it_is_the_last() {
    let bench = &made("abuse_event");
    let (file, run) = (bench.of_run("journal.jsonl"), bench.run_id());
    let text = bench.read(&file);
    let last = text.lines().next_back().expect("lines");
    let unknown = last.replacen("\"type\":\"", "\"type\":\"un", 1);
    assert_ne!(unknown, last);
    let number = text.lines().count() + 1;
    for (more, says, tampered) in [
        (format!("{unknown}\n{last}\n"), "knows more than this one", false),
        (format!("{unknown}\n"), "or a newer engine wrote it", true),
    ] {
        std::fs::write(bench.home().join(&file), chained(&format!("{text}{more}"))).expect("a journal");
        for verb in ["verify", "resume", "status"] {
            let said = bench.engine(&[verb, &run]).expect(62);
            let said = said.says(&[says, &format!("line {number}: is no event that this engine knows: ")]);
            assert_eq!(said.all().contains("TAMPERED"), tampered, "{verb}: {}", said.all());
        }
    }
}

/// The same events in a chain of a forger's own.
fn chained(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut head = None;
    for line in text.lines() {
        let (before, prev) = line.rsplit_once("\"prev\":\"").expect("a hash");
        let prev = head.unwrap_or_else(|| prev.trim_end_matches("\"}").to_owned());
        let line = format!("{before}\"prev\":\"{prev}\"}}");
        head = Some(engine::journal::link(&prev, line.as_bytes()));
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}
