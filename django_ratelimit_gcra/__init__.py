"""The door for Django: a middleware, `@ratelimit`, settings, system checks and commands."""
