"""Date formats for Django's own output, found through ``FORMAT_MODULE_PATH``."""
