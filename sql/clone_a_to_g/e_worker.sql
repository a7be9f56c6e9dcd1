-- Consume what lies behind the cursor, mark the issues, move the cursor: one transaction.
-- SHARE waits for writers in flight: an event with a lower position cannot appear behind the cursor later.
LOCK TABLE public.gov_events IN SHARE MODE;

INSERT INTO public.gov_worker_cursors (worker, position, advanced_at)
VALUES ('gov-triage', 0, current_setting('engine.as_of')::timestamptz)
ON CONFLICT (worker) DO NOTHING;

WITH seen AS (
    SELECT e.position, e.event_type, e.issue_code
    FROM public.gov_worker_cursors AS c
    JOIN public.gov_events AS e ON e.position > c.position
    WHERE c.worker = 'gov-triage' AND c.retired_at IS NULL
), triaged AS (
    UPDATE public.gov_issues AS i SET status = 'triaged', triaged_by = seen.position
    FROM seen
    WHERE seen.event_type = 'issue.opened' AND i.issue_code = seen.issue_code AND i.status = 'open'
)
UPDATE public.gov_worker_cursors
SET position = (SELECT max(position) FROM seen), advanced_at = current_setting('engine.as_of')::timestamptz
WHERE worker = 'gov-triage' AND EXISTS (SELECT FROM seen);
