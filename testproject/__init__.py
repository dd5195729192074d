"""A small lesson marketplace: the demo of the rate limiter and the settings of its tests."""
