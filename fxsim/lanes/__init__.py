"""Lanes: many images through one control path, by a netlist's words compiled to vector code.

The control of a design does not depend on data, so that it is simulated once while the data path carries an image in
each of many lanes. `words` reads the netlist, `sums` puts sums of products into a form that is computed at once, `cpp`
writes the program, `run` builds it and drives it.
"""

from fxsim.lanes.run import LANES_MAX, LanesSimulator

__all__ = ["LANES_MAX", "LanesSimulator"]
