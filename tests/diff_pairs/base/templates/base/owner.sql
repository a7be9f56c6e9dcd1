INSERT INTO owners (region, rank) VALUES ({{ region | literal }}, 1);
