"""Where the lake stores its bytes: a local folder, or what fsspec reaches. Only ``derive.lake`` calls it."""
