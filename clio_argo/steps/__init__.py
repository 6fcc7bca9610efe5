"""The twelve steps of a run. Each reads documents or arrays, decides or computes, and writes; none calls another."""
