echo other > c.txt
