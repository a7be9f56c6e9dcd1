-- The database lets an event go only while no cursor has passed it: e_worker is rolled back before.
DELETE FROM public.gov_events AS e USING public.gov_issues AS i
WHERE e.issue_code = i.issue_code AND i.scan_code = 'SCAN-2026-06-02';
DELETE FROM public.gov_issues WHERE scan_code = 'SCAN-2026-06-02';
