"""Kept measurements: `python -m benchmarks`. Figures depend on the machine; nothing here passes or fails."""
