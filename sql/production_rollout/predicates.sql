-- Probes and predicates of production_rollout, as sent.

-- probe.containment on production
SELECT count(*) FROM public.gov_seam_containment;

-- probe.ospa on production
SELECT count(*) FROM public.os_proposal_approvals WHERE revoked_at IS NULL;

-- probe.production_gap on production
SELECT count(*) FROM public.gov_coverage_gap;

-- probe.production_written on production
SELECT (SELECT count(*) FROM public.gov_ownership_anchors) + (SELECT count(*) FROM public.gov_rulesets)
     + (SELECT count(*) FROM public.gov_scan_runs) + (SELECT count(*) FROM public.gov_candidate_states)
     + (SELECT count(*) FROM public.gov_candidate_objects) + (SELECT count(*) FROM public.gov_issues)
     + (SELECT count(*) FROM public.gov_events) + (SELECT count(*) FROM public.gov_worker_cursors);

-- probe.scopes on production
SELECT count(*) FROM public.gov_scopes;

-- probe.seams on production
SELECT count(*) FROM public.gov_seams;

-- target.production.gate.ratified
SELECT ospa >= 1;

-- stage.ready.guard.inventory
SELECT seams = 35 AND containment = 35 AND scopes = 6;

-- stage.ready.ensure.before_or_after
SELECT (production_gap = 210 AND production_written = 0) OR (production_gap = 0 AND production_written >= 258);
