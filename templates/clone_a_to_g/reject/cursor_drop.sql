DELETE FROM public.gov_worker_cursors WHERE worker = {{ who | literal }};
