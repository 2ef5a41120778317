"""The lake's stores: a local folder, or an object store through fsspec. Used only by ``derive.lake``."""
