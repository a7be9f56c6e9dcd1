-- Deterministic rows: no clock, no random. How many rows the audit trail gets is the setting sample.rows
-- (PGOPTIONS="-c sample.rows=4000000"), 20 000 when it is not set.
SET client_encoding = 'UTF8';
SET TimeZone = 'UTC';
SET ROLE directus;

INSERT INTO public.gov_scopes (scope_code, title, ordinal)
VALUES ('ownership', 'Who answers for it', 1), ('access', 'Who may reach it', 2), ('change', 'Who may change it', 3),
       ('data', 'What data it holds', 4), ('runtime', 'Where it runs', 5), ('retirement', 'How it ends', 6);

INSERT INTO public.gov_groups (group_code, title, steward_role)
VALUES ('IDN', 'Identity and access', 'steward-identity'), ('CNT', 'Content and collections', 'steward-content'),
       ('AUT', 'Flows and automation', 'steward-automation'), ('KNW', 'Knowledge and search', 'steward-knowledge'),
       ('OPS', 'Operations', 'steward-operations');

-- 35 seams, each in one group.
INSERT INTO public.gov_seams (seam_code, title, attributes)
SELECT format('SEAM-%s-%s', g.group_code, lpad(n::text, 2, '0')), format('%s, seam %s', g.title, n),
       jsonb_build_object('order', n, 'group', g.group_code, 'critical', n % 4 = 0)
FROM (VALUES ('IDN', 9), ('CNT', 8), ('AUT', 7), ('KNW', 6), ('OPS', 5)) AS size (group_code, seams)
JOIN public.gov_groups AS g USING (group_code)
CROSS JOIN LATERAL generate_series(1, size.seams) AS n
ORDER BY g.group_code, n;
INSERT INTO public.gov_seam_containment (seam_code, group_code)
SELECT seam_code, attributes ->> 'group' FROM public.gov_seams ORDER BY seam_code;
INSERT INTO public.gov_seam_dossiers (seam_code, body, digest)
SELECT s.seam_code, d.body, sha256(convert_to(d.body, 'UTF8'))
FROM public.gov_seams AS s
CROSS JOIN LATERAL (SELECT string_agg(md5(s.seam_code || n), ' ' ORDER BY n) FROM generate_series(1, 400) AS n) AS d (body)
ORDER BY s.seam_code;

INSERT INTO public.gov_members (member_code, member_uuid, name, email, may_sign, sworn_in, left_at)
SELECT format('member-%s', n), md5('member-' || n)::uuid,
       (ARRAY['Ada', 'Björn', 'Chidi', 'Đoan', 'Esra', 'Fumiko', 'Grace', 'Håkon', 'Inês'])[1 + n],
       format('member-%s@example.org', n),
       CASE n % 3 WHEN 0 THEN '{L1}' WHEN 1 THEN '{L1,L2}' ELSE '{}' END::public.apr_level[],
       date '2025-09-01' + n, CASE WHEN n = 8 THEN timestamptz '2026-04-30 17:00+00' END
FROM generate_series(0, 8) AS n;

-- 14 action types, 211 requests of which 42 are approved and none is enacted, 42 approvals, no ratification.
INSERT INTO public.apr_action_types (action_type, title, min_level)
SELECT format('act-%s', lpad(n::text, 2, '0')), format('Action type %s', n), (ARRAY['L1', 'L2', 'L3', 'L4']::public.apr_level[])[1 + n % 4]
FROM generate_series(1, 14) AS n;
INSERT INTO public.approval_requests (request_code, action_type, title, status, requested_at)
SELECT format('APR-%s', lpad(n::text, 4, '0')), format('act-%s', lpad((1 + n % 14)::text, 2, '0')), format('Request %s', n),
       CASE WHEN n <= 42 THEN 'approved' ELSE 'pending' END, timestamptz '2026-01-01 00:00+00' + n * interval '11 hours'
FROM generate_series(1, 210) AS n;
INSERT INTO public.approval_requests (request_code, action_type, title, status, requested_at)
VALUES ('APR-BOOT-AUTHMODEL-1', 'act-03', 'Boot the authority model', 'pending', '2026-05-28 09:00+00');
INSERT INTO public.apr_approvals (request_code, approver, level, approved_at)
SELECT format('APR-%s', lpad(n::text, 4, '0')), format('member-%s', n % 9), 'L1', timestamptz '2026-02-01 00:00+00' + n * interval '9 hours'
FROM generate_series(1, 42) AS n;

-- 309 tools; the first version of each is the current one.
INSERT INTO public.dot_tools (legacy_code, tool_code, seam_code, enabled)
SELECT format('T%s', n), format('DOT-%s', lpad(n::text, 3, '0')), s.seam_code, n % 17 <> 0
FROM generate_series(1, 309) AS n
JOIN (SELECT seam_code, row_number() OVER (ORDER BY seam_code) AS i FROM public.gov_seams) AS s ON s.i = 1 + n % 35
ORDER BY n;
INSERT INTO public.dot_tool_versions (tool_id, version, released_on)
SELECT tool_id, '1.0', date '2025-01-01' + tool_id FROM public.dot_tools ORDER BY tool_id;
UPDATE public.dot_tools AS t SET current_version = v.version_id
FROM public.dot_tool_versions AS v
WHERE v.tool_id = t.tool_id AND t.tool_id % 50 <> 0;

-- Every thousandth entry comes from a job that never was a member.
INSERT INTO public.audit_trail (tool_id, actor, detail, recorded_at)
SELECT 1 + n % 309, CASE WHEN n % 1000 = 0 THEN 'cron' ELSE format('member-%s', n % 9) END,
       jsonb_build_object('n', n, 'note', repeat(md5(n::text), 4)),
       timestamptz '2026-01-01 00:00+00' + n * interval '1 second'
FROM generate_series(1, coalesce(nullif(current_setting('sample.rows', true), ''), '20000')::bigint) AS n;

INSERT INTO public.vendor_contracts (contract_code, tenant, monthly, discount, term, notice, ends_at)
SELECT format('VC-%s', n), CASE WHEN n % 3 = 0 THEN 'one-roof' ELSE 'other' END, n * 1.25,
       CASE n % 4 WHEN 0 THEN 1.5 WHEN 1 THEN 1.50 WHEN 2 THEN -0.000 END,
       daterange(date '2024-01-01' + n, CASE WHEN n % 5 <> 0 THEN date '2027-01-01' + n END), make_interval(months => n % 6, days => n),
       CASE WHEN n % 5 <> 0 THEN timestamptz '2027-01-01 00:00+00' + make_interval(days => n) ELSE 'infinity' END
FROM generate_series(1, 30) AS n;

-- Nothing, empty, and what only looks like a marker or an escape.
INSERT INTO public."Übersicht Größen"
VALUES (1, 12.50, 'Küche', NULL), (2, NULL, '', E'two\nlines\tand \\N'), (3, 0.00, '\N', ''), (4, 7.25, 'NULL', '☕ 🙂');

RESET ROLE;
