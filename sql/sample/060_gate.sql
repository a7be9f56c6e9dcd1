-- engine_gate.hold(): holds the ratifications against change until the end of the caller's transaction.
--
-- A rollout reads its gate (is there a ratification?) and then writes. In between nobody may revoke it, so the
-- table must be locked IN SHARE MODE: readers pass, writers wait. That lock asks for a right to write, and
-- gov_rollout must not have one there. So the owner of the approvals lends this one act, and nothing else:
-- no argument, no result, no other statement. SECURITY DEFINER runs it as directus; the search path is fixed,
-- with pg_temp last, so that no temporary table can stand in for anything; every name is qualified.
-- The time-outs are the caller's.
SET ROLE directus;

CREATE SCHEMA engine_gate;
COMMENT ON SCHEMA engine_gate IS 'What production lends to a rollout';

CREATE FUNCTION engine_gate.hold() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE public.os_proposal_approvals IN SHARE MODE;
END $$;
COMMENT ON FUNCTION engine_gate.hold() IS 'Only locks public.os_proposal_approvals IN SHARE MODE, until the end of the transaction';

REVOKE ALL ON FUNCTION engine_gate.hold() FROM PUBLIC;
GRANT USAGE ON SCHEMA engine_gate TO gov_rollout;
GRANT EXECUTE ON FUNCTION engine_gate.hold() TO gov_rollout;

RESET ROLE;
