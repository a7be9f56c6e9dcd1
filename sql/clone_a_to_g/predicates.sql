-- Probes and predicates of clone_a_to_g, as sent.

-- probe.action_types on production
SELECT count(*) FROM public.apr_action_types;

-- probe.anchors on clone
SELECT count(*) FROM public.gov_ownership_anchors;

-- probe.approvals on production
SELECT count(*) FROM public.apr_approvals;

-- probe.authmodel_enacted on production
SELECT count(enacted_at) FROM public.approval_requests WHERE request_code = 'APR-BOOT-AUTHMODEL-1';

-- probe.containment on production
SELECT count(*) FROM public.gov_seam_containment;

-- probe.coverage on clone
SELECT round(100.0 * count(owner_role) / count(*), 2) FROM public.gov_coverage;

-- probe.covered on clone
SELECT count(*) FROM public.gov_candidate_objects WHERE scan_code = 'SCAN-2026-06-02' AND state_code = 'covered';

-- probe.cursor_position on clone
SELECT coalesce(max(position), 0) FROM public.gov_worker_cursors WHERE worker = 'gov-triage';

-- probe.events on clone
SELECT count(*) FROM public.gov_events;

-- probe.gap on clone
SELECT count(*) FROM public.gov_coverage_gap;

-- probe.issues on clone
SELECT count(*) FROM public.gov_issues;

-- probe.lost_events on clone
SELECT count(*)
FROM public.gov_events AS e
JOIN public.gov_worker_cursors AS c ON e.position <= c.position AND c.worker = 'gov-triage'
JOIN public.gov_issues AS i USING (issue_code)
WHERE e.event_type = 'issue.opened' AND i.triaged_by IS DISTINCT FROM e.position;

-- probe.open_issues on clone
SELECT count(*) FROM public.gov_issues WHERE status = 'open';

-- probe.ospa on production
SELECT count(*) FROM public.os_proposal_approvals WHERE revoked_at IS NULL;

-- probe.production_gap on production
SELECT count(*) FROM public.gov_coverage_gap;

-- probe.production_written on production
SELECT (SELECT count(*) FROM public.gov_ownership_anchors) + (SELECT count(*) FROM public.gov_rulesets)
     + (SELECT count(*) FROM public.gov_scan_runs) + (SELECT count(*) FROM public.gov_candidate_states)
     + (SELECT count(*) FROM public.gov_candidate_objects) + (SELECT count(*) FROM public.gov_issues)
     + (SELECT count(*) FROM public.gov_events) + (SELECT count(*) FROM public.gov_worker_cursors);

-- probe.requests on production
SELECT count(*) FROM public.approval_requests;

-- probe.scan_runs on clone
SELECT count(*) FROM public.gov_scan_runs WHERE scan_code = 'SCAN-2026-06-02';

-- probe.scan_written on clone
SELECT (SELECT count(*) FROM public.gov_rulesets) + (SELECT count(*) FROM public.gov_scan_runs)
     + (SELECT count(*) FROM public.gov_candidate_states) + (SELECT count(*) FROM public.gov_candidate_objects);

-- probe.scopes on production
SELECT count(*) FROM public.gov_scopes;

-- probe.seams on production
SELECT count(*) FROM public.gov_seams;

-- probe.tools on production
SELECT count(*) FROM public.dot_tools;

-- probe.triaged_issues on clone
SELECT count(*) FROM public.gov_issues WHERE status = 'triaged';

-- probe.unread_events on clone
SELECT count(*)
FROM public.gov_events AS e
WHERE NOT EXISTS (SELECT FROM public.gov_worker_cursors AS c
                  WHERE c.worker = 'gov-triage' AND c.position >= e.position);

-- target.production.gate.ratified
SELECT ospa >= 1;

-- stage.a_seed.guard.gap_open
SELECT gap = 210;

-- stage.a_seed.guard.nothing_anchored
SELECT anchors = 0;

-- stage.a_seed.ensure.gap_closed
SELECT before.gap = 210 AND gap = 0;

-- stage.a_seed.ensure.all_anchored
SELECT anchors = 30 AND wrote.gov_ownership_anchors = 30;

-- stage.b_read.guard.seeded
SELECT anchors = 30;

-- stage.b_read.ensure.full_coverage
SELECT coverage = 100.00;

-- stage.b_read.ensure.no_gap
SELECT gap = 0;

-- stage.c_write_half.guard.not_scanned
SELECT scan_written = 0;

-- stage.c_write_half.ensure.scanned_once
SELECT scan_runs = 1;

-- stage.c_write_half.ensure.every_pair_covered
SELECT covered = baseline.gap;

-- stage.c_write_half.ensure.nothing_twice
SELECT wrote.gov_candidate_objects = covered AND scan_written = 215;

-- stage.d_boundary.guard.scanned
SELECT scan_runs = 1;

-- stage.d_boundary.guard.nothing_raised_yet
SELECT issues = 0 AND events = 0;

-- stage.d_boundary.ensure.one_issue_a_scope
SELECT open_issues = 6 AND events = 6;

-- stage.e_worker.guard.events_wait
SELECT unread_events = 6;

-- stage.e_worker.guard.cursor_at_start
SELECT cursor_position = 0;

-- stage.e_worker.ensure.all_read
SELECT unread_events = 0 AND triaged_issues = d_boundary.open_issues;

-- stage.e_worker.ensure.none_lost
SELECT lost_events = 0 AND events = before.events;

-- stage.f_rollback.guard.worked
SELECT unread_events = 0;

-- stage.g_rollout.done_when
SELECT gap = 0 AND anchors = 30 AND scan_written = 215 AND scan_runs = 1 AND covered = 210
AND triaged_issues = 6 AND issues = 6 AND events = 6 AND unread_events = 0 AND lost_events = 0;

-- stage.preflight.guard.inventory
SELECT seams = 35 AND containment = 35 AND scopes = 6;

-- stage.preflight.guard.gap_is_whole
SELECT production_gap = 210 AND production_gap = seams * scopes;

-- stage.preflight.guard.approvals_as_known
SELECT requests = 211 AND approvals = 42 AND action_types = 14;

-- stage.preflight.guard.tools_as_known
SELECT tools = 309;

-- stage.preflight.guard.nothing_written_yet
SELECT production_written = 0;
