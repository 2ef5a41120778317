-- Nothing to do here: finding the holder of a key locks nothing. The twin has what SQL Server needs for that.
DO $$
BEGIN
    NULL;
END;
$$;
