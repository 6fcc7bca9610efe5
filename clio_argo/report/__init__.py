"""The report of a run: one HTML page from values. Reads no store and decodes no slice."""
