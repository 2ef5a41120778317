"""A Django database backend: django's PostgreSQL, whose server is started at the first connection.

Several processes share one server, and it stops when the last of them has gone, however it went:

- Each process that has connected *holds* the server: it keeps a shared lock on ``holders.lock`` until it ends. The
  kernel drops the lock with the process (``kill -9`` too); a forked child keeps it through the descriptor it inherits.
- A small process, the *keeper*, is the server's parent. It waits for an exclusive lock on ``holders.lock``, which it is
  given when the last holder has gone, and then stops the server. It keeps the lock while it stops it, so a newcomer
  waits until that is done and starts anew: there is no moment in between.
- When the keeper dies, the kernel tells the server to stop (Linux); when the server dies, the keeper leaves. Whatever
  was killed, the next connection finds no keeper and starts one, which first clears away what the dead left behind.

``base.py`` is the backend, ``server.py`` the holders' side, ``keeper.py`` the keeper, ``layout.py`` names the files,
``account.py`` runs the server as an unprivileged user for root, ``programs.py`` finds PostgreSQL's programs.
"""
