"""Arrays: awkward records and flat NumPy, fields, checks, geometry, kernels and keys of events."""
