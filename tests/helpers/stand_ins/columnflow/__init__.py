"""Stand-in of columnflow: the interface that a producer meets, as its sources have it."""
