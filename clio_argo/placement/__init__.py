"""Where a slice lies, whether it is good, and what stands in its place: values in, values out, no store."""
