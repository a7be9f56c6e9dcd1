-- A second scan with one issue, so that there is a free place and a taken one. Rolled back with everything else.
INSERT INTO public.gov_scan_runs (scan_code, ruleset_code, coverage, scanned_at)
VALUES ('SCAN-REJECT', 'RS-COVERAGE-1', 100, current_setting('engine.as_of')::timestamptz);
INSERT INTO public.gov_issues (issue_code, scan_code, scope_code, severity, opened_at)
VALUES ('ISS-REJECT-access', 'SCAN-REJECT', 'access', 'info', current_setting('engine.as_of')::timestamptz);
