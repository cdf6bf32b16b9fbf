"""Activation tables: choosing their points, and the study of what sizes, edge rules and choices cost."""
