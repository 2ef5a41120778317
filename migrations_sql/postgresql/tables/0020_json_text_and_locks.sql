-- Nothing to do here: JSON functions resolve the escapes of strings by themselves, and row locks, however many, never
-- become a lock on the table. The twin has what the T-SQL engines need for both.
DO $$
BEGIN
    NULL;
END;
$$;
