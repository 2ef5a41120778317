"""How dates look, where Django writes them by itself; found by ``FORMAT_MODULE_PATH``."""
