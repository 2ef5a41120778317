"""Golden cases: made of reviewed answers or read from files, checked before they are saved."""
