-- The ruleset, its states, one scan, and the state of every seam in every scope.
INSERT INTO public.gov_rulesets (ruleset_code, rules)
VALUES ('RS-COVERAGE-1', '{"anchor_basis": ["group", "seam"], "full_coverage": 100.00}')
ON CONFLICT (ruleset_code) DO NOTHING;

INSERT INTO public.gov_candidate_states (state_code, ruleset_code, is_terminal)
VALUES ('covered', 'RS-COVERAGE-1', true),
       ('gap', 'RS-COVERAGE-1', false),
       ('contested', 'RS-COVERAGE-1', false)
ON CONFLICT (state_code) DO NOTHING;

INSERT INTO public.gov_scan_runs (scan_code, ruleset_code, coverage, scanned_at)
SELECT 'SCAN-2026-06-02', 'RS-COVERAGE-1',
       round(100.0 * count(owner_role) / count(*), 2), current_setting('engine.as_of')::timestamptz
FROM public.gov_coverage
ON CONFLICT (scan_code) DO NOTHING;

INSERT INTO public.gov_candidate_objects (scan_code, seam_code, scope_code, state_code)
SELECT 'SCAN-2026-06-02', seam_code, scope_code, CASE WHEN owner_role IS NULL THEN 'gap' ELSE 'covered' END
FROM public.gov_coverage
ON CONFLICT (scan_code, seam_code, scope_code) DO NOTHING;
