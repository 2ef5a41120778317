"""Sets up a server: the database, its scripts, and logins with the least rights they need."""
