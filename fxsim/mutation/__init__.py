"""Mutants: small faults put into RTL and into the contract, and which of them a check finds."""
