-- What years do to a database: keys added late, rows that would not pass today's rules, a column that is
-- gone (its number stays taken), a column added when the rows were there already, a setting on the database.
SET ROLE directus;

-- The big table: key and index after the rows. Old entries name actors that never were members.
CREATE INDEX audit_trail_tool_idx ON public.audit_trail (tool_id, recorded_at);
ALTER TABLE public.audit_trail ADD CONSTRAINT audit_trail_tool_fkey FOREIGN KEY (tool_id) REFERENCES public.dot_tools;
ALTER TABLE public.audit_trail ADD CONSTRAINT audit_trail_actor_fkey FOREIGN KEY (actor) REFERENCES public.gov_members NOT VALID;
CREATE STATISTICS public.audit_trail_actor_tool (dependencies) ON tool_id, actor FROM public.audit_trail;

-- The cheapest contract is from before the rule.
ALTER TABLE public.vendor_contracts ADD CONSTRAINT vendor_contracts_worth_it CHECK (monthly >= 2) NOT VALID;

ALTER TABLE public.dot_tools DROP COLUMN legacy_code;
ALTER TABLE public.dot_tools ADD COLUMN criticality smallint NOT NULL DEFAULT 3;
COMMENT ON COLUMN public.dot_tools.criticality IS '1 is worst; nobody has rated the old ones';

REFRESH MATERIALIZED VIEW public.dot_tool_usage;
RESET ROLE;

DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET default_statistics_target = 150', current_database());
END $$;
