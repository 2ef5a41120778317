"""A Django database backend for PostgreSQL whose server is started by the first connection.

Several processes share one server, which stops when the last of them has ended, for whatever reason:

- Each process that has connected *holds* the server: it keeps a shared lock on ``holders.lock`` until it ends. The
  kernel releases the lock with the process (even after ``kill -9``); a forked child keeps it through the inherited
  descriptor.
- A small process, the *keeper*, is the server's parent. It waits for an exclusive lock on ``holders.lock``, which it
  gets when the last holder has ended, and then stops the server. It keeps the lock meanwhile, so a newcomer waits until
  the server has stopped and then starts it again; there is no gap in between.
- When the keeper dies, the kernel signals the server to stop (Linux); when the server dies, the keeper exits. Whatever
  was killed, the next connection finds no keeper and starts one, which first cleans up after the dead processes.

``base.py`` is the backend, ``server.py`` the holders' side, ``keeper.py`` the keeper, ``layout.py`` names the files,
``account.py`` runs the server as an unprivileged user for root, ``programs.py`` finds PostgreSQL's programs.
"""
