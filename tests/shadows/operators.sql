-- Operators in `public` for every pair of common types: whoever looks one of them up by accident is told so, and the
-- server's log says where. Those that the system has too are found only by a path that names pg_catalog last.
SET ROLE directus;
DO $$
DECLARE
    o text; l text; r text; result text; number integer := 0;
    types text[] := '{name,text,"\"char\"",int2,int4,int8,oid,numeric}';
BEGIN
    FOREACH o IN ARRAY '{=,<>,<,>,>=,~,!~,~~,||,+,-,&}'::text[] LOOP
        result := CASE WHEN o IN ('||', '->>') THEN 'text' WHEN o IN ('+', '-', '&') THEN 'int8' ELSE 'bool' END;
        FOREACH l IN ARRAY types LOOP
            FOREACH r IN ARRAY types LOOP
                number := number + 1;
                EXECUTE format('CREATE FUNCTION public.shadow_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
                    number, l, r, result,
                    format('BEGIN RAISE EXCEPTION %L, pg_catalog.current_database(); END', format('shadowed in %%: %s %s %s', l, o, r)));
                EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.shadow_%s)',
                    o, l, r, number);
            END LOOP;
        END LOOP;
    END LOOP;
    -- Functions that fit better than the system's, or as well; none that the sample's own probes and templates call.
    FOREACH l IN ARRAY types LOOP
        FOREACH o IN ARRAY '{sum,min,length,round,abs,bool_or,quote_ident,format,pg_get_userbyid,to_jsonb}'::text[] LOOP
            EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS int8 LANGUAGE plpgsql AS %L', o, l,
                format('BEGIN RAISE EXCEPTION %L, pg_catalog.current_database(); END', format('shadowed in %%: %s(%s)', o, l)));
        END LOOP;
    END LOOP;
    FOREACH o IN ARRAY '{now,count,pg_backend_pid,current_database,current_schema,version,pg_current_xact_id_if_assigned,transaction_timestamp}'::text[] LOOP
        EXECUTE format('CREATE FUNCTION public.%I() RETURNS int8 LANGUAGE plpgsql AS %L', o,
            format('BEGIN RAISE EXCEPTION %L, pg_catalog.current_database(); END', format('shadowed in %%: %s()', o)));
    END LOOP;
END $$;
-- Tables and views that are called like the system's.
CREATE VIEW public.pg_class AS SELECT 'pg_class'::regclass AS oid, 1 / (random() * 0)::int AS relname;
CREATE VIEW public.pg_locks AS SELECT 1 / (random() * 0)::int AS pid;
CREATE VIEW public.pg_database AS SELECT 1 / (random() * 0)::int AS datname;
GRANT SELECT ON public.pg_class, public.pg_locks, public.pg_database TO PUBLIC;
RESET ROLE;
