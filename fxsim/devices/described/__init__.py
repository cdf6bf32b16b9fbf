"""Somebody's own RTL as a device: a description binds its ports and signals to a model, and holds no code."""
