"""Django's own backend, with commits that one may not survive."""
