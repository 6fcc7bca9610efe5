"""Whether a finished volume is whole, and how it is repaired."""
