"""A site whose workers kill themselves where a request says; its only effect is a row in a table."""
