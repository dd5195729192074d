"""A program that makes the site's tables."""

import django
from django.core.management import call_command
from django.db import connection

if __name__ == "__main__":
    django.setup()
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE effects (payment integer)")
