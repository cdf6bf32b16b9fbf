"""Measurements of engines against each other and against what the machine can do, their record and their figure."""
