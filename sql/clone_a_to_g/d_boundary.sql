-- One issue per scope for the steward to confirm, and the event that says it was opened.
INSERT INTO public.gov_issues (issue_code, scan_code, scope_code, severity, opened_at)
SELECT format('ISS-%s-%s', 'SCAN-2026-06-02', scope_code), 'SCAN-2026-06-02', scope_code, 'info',
       current_setting('engine.as_of')::timestamptz
FROM public.gov_scopes
ON CONFLICT (scan_code, scope_code) DO NOTHING;

-- NOT EXISTS, not ON CONFLICT: a refused conflict would still consume an identity value.
-- recorded_at is the issue's: a second run a day later finds the same event, not a newer one.
INSERT INTO public.gov_events (event_type, issue_code, recorded_at)
SELECT 'issue.opened', i.issue_code, i.opened_at
FROM public.gov_issues AS i
JOIN public.gov_scopes AS s USING (scope_code)
WHERE i.scan_code = 'SCAN-2026-06-02'
  AND NOT EXISTS (SELECT FROM public.gov_events AS e WHERE e.event_type = 'issue.opened' AND e.issue_code = i.issue_code)
ORDER BY s.ordinal;
