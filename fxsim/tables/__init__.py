"""Activation tables: choosing their points."""
