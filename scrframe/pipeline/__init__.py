"""The straight line from a description to corrected catalogues; the only room that knows all.

Nothing is imported here: each worker process loads only what its tasks need.
"""
