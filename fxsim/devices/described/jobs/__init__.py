"""Designs that work off jobs: started by a pulse, their input and output in memories at their ports."""
