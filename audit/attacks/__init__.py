"""Attackers that learn from released faces. Each reports success against chance, with controls that prove it works.

They run on embeddings that the audit has made anyway: no network is trained, every model is a closed-form linear map,
and equal evidence gives equal results. The positive control gives the same attacker something to find; the negative
control takes away what there could be.
"""
