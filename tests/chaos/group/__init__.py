"""A group of real members in processes of their own, what is done to them, and whether they kept what they said."""
