"""A site with nothing but the probe's page."""
