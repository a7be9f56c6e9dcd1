SET ROLE postgres;
INSERT INTO gaps (id) VALUES (1);
