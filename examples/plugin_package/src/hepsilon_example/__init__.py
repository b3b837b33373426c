"""One of each kind of thing that can be added to hepsilon."""
