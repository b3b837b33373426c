"""Stand-in of PocketCoffea."""
