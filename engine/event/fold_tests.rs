//! Tests of folding.

use super::*;

#[test]
fn a_failed_proof_leaves_the_stage_committed() {
    let stage = "a".to_owned();
    let failure = Failure::new(crate::event::Exit::ProofFailed, "not idempotent");
    let events = [
        Event::StageStarted { stage: stage.clone() },
        Event::StageCommitted { stage: stage.clone(), xid: Some("7".into()), open_ms: None },
        Event::StageFailed { stage, failure, ms: 1 },
    ];
    let state = RunState::of(&events);
    assert_eq!(state.stage("a").status, Status::Committed);
    assert!(!state.is_done("a"));
    assert_eq!(state.stage("a").unproved.map(|why| why.what), Some("not idempotent".to_owned()));
    let again = Event::StageStarted { stage: "a".into() };
    let proved = [&events[..], &[again, done("a")]].concat();
    assert!(RunState::of(&proved).stage("a").unproved.is_none());
}

#[test]
fn an_attempt_forgets_the_intent_before_it() {
    let stage = || "a".to_owned();
    let attempt =
        |n| Event::AttemptStarted { stage: stage(), attempt: n, backend_pid: 1, backend_start: String::new() };
    let intent = Event::CommitIntended {
        stage: stage(),
        xid: "9".into(),
        system_identifier: "s".into(),
        timeline: 1,
        database_oid: 5,
    };
    let events = [attempt(1), intent, attempt(2)];
    assert!(RunState::of(&events[..2]).stage("a").intent.is_some());
    assert!(RunState::of(&events).stage("a").intent.is_none());
}

fn done(stage: &str) -> Event {
    Event::StageDone { stage: stage.into(), summary: "well".into(), ms: 1 }
}

fn undone(stage: &str, again: &[&str]) -> Event {
    let again = again.iter().map(|name| (*name).to_owned()).collect();
    Event::Undone { stage: stage.into(), summary: String::new(), again, ms: 1 }
}

#[test]
fn what_depends_on_an_undone_stage_waits_again_and_the_rest_stays() {
    let committed = |stage: &str| Event::StageCommitted { stage: stage.into(), xid: Some("7".into()), open_ms: None };
    let sealed = Event::PacketSealed {
        stage: "packet".into(),
        id: "1".into(),
        path: "p".into(),
        technical_go: true,
        reasons: Vec::new(),
    };
    let events = [
        done("base"),
        committed("a"),
        done("a"),
        committed("b"),
        done("b"),
        sealed,
        done("packet"),
        undone("b", &["packet"]),
    ];
    let state = RunState::of(&events);
    assert_eq!(state.order, ["base", "a"]);
    assert_eq!(state.stage("b").status, Status::Undone);
    assert_eq!(state.stage("packet").status, Status::Waiting);
    assert!(state.stage("packet").packet.is_none() && !state.stage("b").committed);
    assert!(state.is_done("a") && state.is_done("base"));
    let left = standing(&events);
    assert!(left.iter().all(|event| !matches!(event, Event::PacketSealed { .. })));
    assert_eq!(left.len(), 4, "{left:?}");
}

fn failed(failure: &Failure, settled: bool) -> Event {
    Event::UndoFailed { stage: "a".into(), failure: failure.clone(), settled, ms: 1 }
}

#[test]
fn a_rollback_whose_commit_may_have_been_sent_is_asked_for_however_it_ended() {
    let stage = || "a".to_owned();
    let begun = |attempt| Event::UndoStarted { stage: stage(), attempt, backend_pid: 1, backend_start: String::new() };
    let intent = Event::UndoIntended {
        stage: stage(),
        xid: "9".into(),
        system_identifier: "s".into(),
        timeline: 1,
        database_oid: 5,
    };
    let undo = |events: &[Event]| RunState::of(events).stage("a").undo;
    for exit in [Exit::Stuck, Exit::Temporary, Exit::WrongDatabase, Exit::StageFailed] {
        let failure = Failure::new(exit, "not known");
        let events = [begun(1), intent.clone(), failed(&failure, false), begun(2)];
        assert!(undo(&events[..3]).is_some_and(|undo| undo.intent.is_some()), "{exit:?}");
        assert!(undo(&events).is_some_and(|undo| undo.intent.is_none() && undo.attempts == 2));
        assert_eq!(undo(&[begun(1), intent.clone(), failed(&failure, true)]), None);
        assert_eq!(undo(&[begun(1), failed(&failure, false)]), None);
    }
}

#[test]
fn a_rollback_that_could_not_be_done_leaves_its_stage_done() {
    let failure = Failure::new(Exit::Stuck, "no rollback");
    let mut events = vec![done("a"), failed(&failure, false)];
    let state = RunState::of(&events);
    assert!(state.is_done("a"));
    assert_eq!(state.stage("a").stuck, Some(failure));
    events.push(undone("a", &[]));
    assert_eq!(RunState::of(&events).stage("a").stuck, None);
}

#[test]
fn what_could_not_be_undone_is_so_no_more_once_the_stage_has_gone_on() {
    let failure = Failure::new(Exit::Stuck, "done in part");
    let stage = || "a".to_owned();
    let attempt = Event::AttemptStarted { stage: stage(), attempt: 2, backend_pid: 1, backend_start: "t".into() };
    let committed = Event::StageCommitted { stage: stage(), xid: None, open_ms: None };
    for on in [attempt, committed] {
        assert_eq!(RunState::of(&[failed(&failure, false), on]).stage("a").stuck, None);
    }
}

#[test]
fn what_is_committed_stands_until_it_is_undone_itself() {
    let committed = Event::StageCommitted { stage: "a".into(), xid: Some("7".into()), open_ms: None };
    let state = RunState::of(&[committed, done("early"), undone("early", &["a"])]);
    assert!(state.stage("a").committed, "whatever is said to depend on what");
    assert_eq!(state.order, ["a"]);
}

#[test]
fn what_a_server_said_of_a_commit_is_not_asked_again() {
    let (stage, xid) = (|| "a".to_owned(), || "9".to_owned());
    let (system_identifier, timeline, database_oid) = ("s".to_owned(), 1, 5);
    let aborted = Event::CommitAborted { stage: stage(), xid: xid() };
    let intent = Event::UndoIntended { stage: stage(), xid: xid(), system_identifier, timeline, database_oid };
    let committed = Event::StageCommitted { stage: stage(), xid: Some("7".into()), open_ms: None };
    let failure = Failure::new(crate::event::Exit::Temporary, "cut");
    let back = RunState::of(&[committed, intent.clone(), aborted, failed(&failure, false)]);
    assert!(back.stage("a").undo.is_none() && back.stage("a").committed);
    assert!(RunState::of(&[intent, failed(&failure, false)]).stage("a").undo.is_some());
}
