"""A classifier as a service: batches of what many ask at once, HTTP, and a page for people. Floor 6."""
