"""The Geometry page: probes by layer, the points, linear against causal."""
