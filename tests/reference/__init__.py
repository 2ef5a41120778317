"""What ``docs/reference.md`` says, made from the code and from a migrated database (``make docs``)."""
