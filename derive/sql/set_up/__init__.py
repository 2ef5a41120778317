"""Makes a server ready: the database, its scripts, and logins with no more rights than their part needs."""
