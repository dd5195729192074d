"""The testproject as it is served, with the number of the process that answers: which of them enforces what?"""
