"""Proofs that RTL equals the integer model for all inputs: a netlist of it, evaluated with symbols in place of data."""
