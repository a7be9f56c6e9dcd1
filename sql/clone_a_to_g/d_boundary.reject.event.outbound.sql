-- Permitted: an event that did not happen yet, of a known issue, for us and nobody else.
INSERT INTO public.gov_events (event_type, issue_code, channel, recorded_at)
VALUES ('issue.closed', 'ISS-REJECT', 'email', current_setting('engine.as_of')::timestamptz);
