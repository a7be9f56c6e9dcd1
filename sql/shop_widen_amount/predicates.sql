-- Probes and predicates of shop_widen_amount, as sent.

-- probe.amount_total on clone
SELECT sum(amount) FROM shop.orders;

-- probe.approved on production
SELECT count(approved_at) FROM shop.change_requests WHERE change_code = 'CHG-ORDERS-AMOUNT';

-- probe.constraint_valid on clone
SELECT coalesce(bool_and(convalidated), false) FROM pg_catalog.pg_constraint
WHERE conrelid = 'shop.orders'::regclass AND conname = 'orders_amount_wide_filled';

-- probe.has_wide on clone
SELECT count(*) FROM pg_catalog.pg_attribute
WHERE attrelid = 'shop.orders'::regclass AND attname = 'amount_wide' AND NOT attisdropped;

-- probe.in_step on clone
SELECT count(*) FROM pg_catalog.pg_trigger
WHERE tgrelid = 'shop.orders'::regclass AND tgname = 'orders_amount_sync' AND tgenabled = 'O';

-- probe.index_valid on clone
SELECT coalesce(bool_and(indisvalid), false) FROM pg_catalog.pg_index
WHERE indexrelid = to_regclass('shop.orders_amount_wide_idx');

-- probe.orders on clone
SELECT count(*) FROM shop.orders;

-- probe.production_wide on production
SELECT count(*) FROM pg_catalog.pg_attribute
WHERE attrelid = 'shop.orders'::regclass AND attname = 'amount_wide' AND NOT attisdropped;

-- probe.unequal on clone
SELECT count(*) FROM shop.orders AS o WHERE (to_jsonb(o) ->> 'amount_wide')::numeric IS DISTINCT FROM amount;

-- probe.unfilled on clone
SELECT count(*) FROM shop.orders AS o WHERE to_jsonb(o) ->> 'amount_wide' IS NULL;

-- target.production.gate.change_approved
SELECT approved >= 1;

-- stage.backfill.guard.expanded
SELECT has_wide = 1 AND in_step = 1;

-- stage.backfill.guard.within_bounds
SELECT unfilled <= 60000;

-- stage.backfill.ensure.filled
SELECT unfilled = 0 AND unequal = 0 AND wrote."shop.orders" = before.unfilled;

-- stage.backfill.ensure.no_money_lost
SELECT amount_total = before.amount_total AND orders = before.orders;

-- stage.constrain.guard.filled
SELECT unfilled = 0 AND NOT constraint_valid;

-- stage.constrain.ensure.validated
SELECT constraint_valid;

-- stage.constrain.ensure.nothing_moved
SELECT unequal = 0 AND amount_total = baseline.amount_total;

-- stage.expand.guard.narrow
SELECT has_wide = 0 AND in_step = 0;

-- stage.expand.ensure.wide
SELECT has_wide = 1 AND in_step = 1;

-- stage.expand.ensure.still_empty
SELECT unfilled = orders;

-- stage.index.guard.equal
SELECT unequal = 0;

-- stage.index.guard.no_index_yet
SELECT NOT index_valid;

-- stage.index.ensure.valid
SELECT index_valid;

-- stage.packet.done_when
SELECT has_wide = 1 AND in_step = 1 AND unequal = 0 AND index_valid AND constraint_valid;

-- stage.preflight.guard.narrow
SELECT production_wide = 0;

-- stage.rehearsal.guard.complete
SELECT index_valid AND constraint_valid;
