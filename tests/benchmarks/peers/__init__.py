"""Other limiters, each in the way its documentation shows, measured in an environment of their own.

`requirements.txt` names them, `requirements.lock` pins what they bring. Each runs in a process of its own that measures
the floor before and after itself; the parent lets one after the other do a round, so that no one's mood is another's.
"""
