-- Every opening was read by the worker, the closing by nobody.
DELETE FROM public.gov_events WHERE event_type = 'issue.opened';
