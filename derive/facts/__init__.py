"""Facts: the cited objects of an answer, each with the position of its quote and a verdict on its value.

``judging`` builds them from an answer and its evidence, ``acceptance`` decides whether the answer is accepted. Neither
needs a model, a database or Django.
"""
