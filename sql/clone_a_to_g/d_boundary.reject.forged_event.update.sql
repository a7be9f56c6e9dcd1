-- The oldest event, whatever its position: the statement must match a row to be refused.
UPDATE public.gov_events SET payload = '{"forged": true}'
WHERE position = (SELECT min(position) FROM public.gov_events);
