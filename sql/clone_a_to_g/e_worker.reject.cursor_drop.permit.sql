DELETE FROM public.gov_worker_cursors WHERE worker = 'REJECT-RETIRED';
