"""The functions of proofs that are compiled: alone in their folder, whose text is part of the key of their code."""
