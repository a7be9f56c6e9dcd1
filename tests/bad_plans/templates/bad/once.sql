CREATE INDEX CONCURRENTLY gaps_seam ON gaps (seam);
