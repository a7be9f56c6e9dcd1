-- Who may do what in production. PUBLIC keeps USAGE on the schema public, as PostgreSQL grants it, and
-- nothing on the database: a role that was given nothing here cannot even connect.
-- engine_cloner, engine_owner and engine_stage are given nothing, on purpose.
DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO directus, engine_reader, gov_rollout, gov_tenant', current_database());
END $$;

-- The engine's reader: everything, Directus's own tables included if they are there; and only SELECT.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO engine_reader;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO engine_reader;

-- A tenant sees its own contracts (row level security) and the names of members, not their addresses.
GRANT SELECT ON public.vendor_contracts TO gov_tenant;
GRANT SELECT (member_code, name) ON public.gov_members TO gov_tenant;

-- People ratify, and take a ratification back.
GRANT SELECT ON public.approval_requests, public.apr_approvals, public.apr_action_types TO gov_steward;
GRANT SELECT, INSERT, UPDATE (revoked_at) ON public.os_proposal_approvals TO gov_steward;

-- ---------------------------------------------------------------- gov_rollout, the production writer
-- What gates, guards, ensures and probes read. On os_proposal_approvals never more than SELECT:
-- who may write what a gate reads could open the gate.
GRANT SELECT ON public.os_proposal_approvals, public.approval_requests, public.apr_approvals, public.apr_action_types,
    public.gov_scopes, public.gov_groups, public.gov_seams, public.gov_seam_containment,
    public.gov_coverage, public.gov_coverage_gap, public.dot_tools TO gov_rollout;

-- What the packet's stages write. No DELETE: a rollback of production is run by its owner.
GRANT SELECT, INSERT ON public.gov_ownership_anchors, public.gov_rulesets, public.gov_scan_runs,
    public.gov_candidate_states, public.gov_candidate_objects TO gov_rollout;
GRANT SELECT, INSERT, UPDATE (status, triaged_by) ON public.gov_issues TO gov_rollout;
GRANT SELECT, INSERT, UPDATE (position, advanced_at) ON public.gov_worker_cursors TO gov_rollout;
-- UPDATE is for LOCK TABLE ... IN SHARE MODE, which asks for UPDATE, DELETE or TRUNCATE on the whole table.
-- It is the harmless one of the three: the trigger gov_events_append_only refuses every UPDATE.
GRANT SELECT, INSERT, UPDATE ON public.gov_events TO gov_rollout;

-- Quiet: a database owner who is no superuser may not analyse the shared catalogs, and need not.
SET client_min_messages = error;
ANALYZE;
RESET client_min_messages;
