INSERT INTO gaps (id)
<<<<<<< HEAD
VALUES (1);
=======
VALUES (2);
>>>>>>> other
