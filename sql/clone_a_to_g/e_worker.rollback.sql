-- A cursor never steps back: it is retired, then removed. The issues are open again.
UPDATE public.gov_issues SET status = 'open', triaged_by = NULL
WHERE scan_code = 'SCAN-2026-06-02' AND status = 'triaged';
UPDATE public.gov_worker_cursors SET retired_at = current_setting('engine.as_of')::timestamptz
WHERE worker = 'gov-triage';
DELETE FROM public.gov_worker_cursors WHERE worker = 'gov-triage';
