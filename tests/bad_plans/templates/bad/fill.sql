INSERT INTO gaps (id) VALUES (1);
