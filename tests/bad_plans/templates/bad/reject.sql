INSERT INTO words (word) VALUES ({{ word | literal }});
