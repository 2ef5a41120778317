"""The database, from the names of its tables to the rows of its procedures."""
