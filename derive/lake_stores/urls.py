"""Opens the store that ``LAKE_URL`` refers to."""

import re
from urllib.parse import urlsplit
from urllib.request import url2pathname

from derive.errors import ConfigurationError
from derive.lake_stores.local import LocalStore
from derive.lake_stores.objects import SERVED_BY, ObjectStore
from derive.lake_stores.store import Store


def open_store(url: str) -> Store:
    """Return the store at a URL without accessing it. Raises ConfigurationError with one line, without secrets."""
    if not url.strip() or "\x00" in url or "::" in url:
        raise ConfigurationError("LAKE_URL is empty or no URL; set a folder's path, file://, s3:// or abfs://")
    scheme, separator, rest = url.partition("://")
    if not separator:
        return LocalStore(url)
    scheme = scheme.lower()
    if scheme == "file":
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ConfigurationError(f"LAKE_URL={_without_secrets(url)} must be file:/// and an absolute path")
        return LocalStore(url2pathname(parts.path))
    if scheme not in SERVED_BY:
        served = ", ".join(f"{known}://" for known in ("file", *SERVED_BY))
        raise ConfigurationError(f"LAKE_URL={_without_secrets(url)} has no scheme that is served: {served}")
    if not rest.strip("/"):
        raise ConfigurationError(f"LAKE_URL={_without_secrets(url)} names no bucket, container or prefix")
    return ObjectStore(url, shown=_without_secrets(url))


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*:[^/@]*@", "//…@", url.partition("?")[0])
