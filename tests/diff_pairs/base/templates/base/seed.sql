-- Owners for every gap.
INSERT INTO owners (region, rank)
SELECT {{ region | literal }}, n FROM generate_series(1, {{ seeded }}) AS n
ON CONFLICT (region, rank) DO NOTHING;
