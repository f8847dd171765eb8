"""``anydet quantize``: a model in int8, with the layers left in float that the evaluator says matter."""
