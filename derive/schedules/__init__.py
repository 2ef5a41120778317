"""Schedules: automatic tasks at planned times, on the database's clock.

``manage.py qcluster`` is django-q2: its scheduler looks at its rows every 30 seconds and has its processes call the
functions of ``tasks``, each one of ``system_tasks``. A task runs in ``single_flight`` (one holder a task in the whole
database), bounded in time, and records how it went. Two of them go through what people planned (``due``): the retry
policies (``retry_policies``) and the recurring interrogations (``recurring``). ``broker`` keeps django-q2's rows in
step with the database's clock and reports that a scheduler lives; ``health`` says whether all goes as planned.

django-q2 keeps a task as a pickle signed with ``SECRET_KEY``. Whoever knows the key and can write to its tables can
have any code run by the cluster, so the key is guarded like the database's password, and every process of one
database needs the same one: tasks signed with another are dropped with a line in the log. ``broker`` hands on only
tasks that name a system task's function, whatever else a row asks for.
"""
