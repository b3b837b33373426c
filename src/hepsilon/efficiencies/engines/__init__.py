"""Engines that evaluate the networks of an artifact."""
