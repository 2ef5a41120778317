"""Where the lake keeps its bytes: a local folder, or what fsspec reaches. ``derive.lake`` is their one caller."""
