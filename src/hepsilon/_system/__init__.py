"""Files, progress and resources of this process."""
