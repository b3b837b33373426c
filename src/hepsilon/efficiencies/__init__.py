"""Efficiencies: one protocol, everything that keeps to it, and the artifact that stores it."""
