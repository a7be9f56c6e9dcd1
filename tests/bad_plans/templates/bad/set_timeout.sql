SET LOCAL statement_timeout = 0;
INSERT INTO gaps (id) VALUES (1);
