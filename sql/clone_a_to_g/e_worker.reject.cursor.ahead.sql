UPDATE public.gov_worker_cursors SET position = position + 1 WHERE worker = 'gov-triage';
