"""The HTTP door: what monitoring asks. Few routes, all GET, nothing that changes anything."""
