-- One worker that was retired and one in service. Rolled back with everything else.
INSERT INTO public.gov_worker_cursors (worker, position, advanced_at, retired_at)
VALUES ('REJECT-RETIRED', 0, current_setting('engine.as_of')::timestamptz, current_setting('engine.as_of')::timestamptz),
       ('REJECT-IN-SERVICE', 0, current_setting('engine.as_of')::timestamptz, NULL);
