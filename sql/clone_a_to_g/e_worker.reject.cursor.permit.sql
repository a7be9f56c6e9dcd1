UPDATE public.gov_worker_cursors SET position = position + 0 WHERE worker = 'gov-triage';
