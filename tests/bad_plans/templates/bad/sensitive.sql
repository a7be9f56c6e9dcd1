INSERT INTO gaps (id, seam) VALUES (1, {{ token | literal }});
