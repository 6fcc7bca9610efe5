"""Where each slice lies, whether it is good, and what fills its plane: values in, values out, no store."""
