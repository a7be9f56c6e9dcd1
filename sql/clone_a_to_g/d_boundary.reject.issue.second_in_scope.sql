-- Permitted: a known scan, a scope without an issue in it, a known severity.
INSERT INTO public.gov_issues (issue_code, scan_code, scope_code, severity, opened_at)
VALUES ('ISS-REJECT', 'SCAN-REJECT', 'access', 'info', current_setting('engine.as_of')::timestamptz);
