"""Sets up a server: the database, its scripts, and logins with only the rights they need."""
