-- A closing that no cursor has read yet. Rolled back with everything else.
INSERT INTO public.gov_events (event_type, issue_code, recorded_at)
SELECT 'issue.closed', min(issue_code), current_setting('engine.as_of')::timestamptz
FROM public.gov_issues;
