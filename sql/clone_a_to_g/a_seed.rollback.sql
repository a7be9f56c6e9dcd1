-- Only what this run anchored: an anchor that people set later stays.
DELETE FROM public.gov_ownership_anchors
WHERE basis = 'group' AND run_id = current_setting('engine.run_id');
