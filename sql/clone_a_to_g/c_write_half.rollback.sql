-- Children before parents. The guard `not_scanned` found these tables empty, so all of it is this run's.
DELETE FROM public.gov_candidate_objects WHERE scan_code = 'SCAN-2026-06-02';
DELETE FROM public.gov_scan_runs WHERE scan_code = 'SCAN-2026-06-02';
DELETE FROM public.gov_candidate_states WHERE ruleset_code = 'RS-COVERAGE-1';
DELETE FROM public.gov_rulesets WHERE ruleset_code = 'RS-COVERAGE-1';
