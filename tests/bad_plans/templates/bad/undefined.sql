INSERT INTO gaps (id) VALUES ({{ nothing }});
