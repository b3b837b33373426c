"""Toys, references, strategies and trained networks that many tests share."""
