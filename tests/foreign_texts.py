"""Texts as nobody should send them, and somebody does."""

NASTY = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</title></svg><script>alert(1)</script>",
    "]]><!--",
    "{{ 7|add:7 }}{% csrf_token %}",
    "javascript:alert(1)//&amp;",
    "\U0001f4a9\U0001d54f",
    "user:\u202e24\u2066\u200f",
    "a\x00b\x1b[31m\r\nSet-Cookie: x",
    "=cmd|'/C calc'!A0",
    "\ud800",
    "x" * 10_240,
    "\u202e" * 10_240,
]
