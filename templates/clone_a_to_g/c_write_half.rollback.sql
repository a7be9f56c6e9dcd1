-- Children before parents. The guard `not_scanned` found these tables empty, so all of it is this run's.
DELETE FROM public.gov_candidate_objects WHERE scan_code = {{ scan | literal }};
DELETE FROM public.gov_scan_runs WHERE scan_code = {{ scan | literal }};
DELETE FROM public.gov_candidate_states WHERE ruleset_code = {{ ruleset | literal }};
DELETE FROM public.gov_rulesets WHERE ruleset_code = {{ ruleset | literal }};
