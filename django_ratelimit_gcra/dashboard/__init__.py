"""The dashboard in Django's admin: what the limits do, what others would do, and the switches."""
