DELETE FROM owners WHERE region = {{ region | literal }};
