"""Sources of subjects: where the texts come from that interrogations are asked about.

``contract`` has what every source promises, ``registry`` reads the file that declares them. Each kind is a module:
``files``.
"""
