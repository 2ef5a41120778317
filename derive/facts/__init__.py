"""Facts: the cited objects of an answer, each with the place of its quote and a verdict on its value.

``judging`` makes them of an answer and its evidence, ``standing`` decides whether the answer stands. Neither needs a
model, a database or Django.
"""
