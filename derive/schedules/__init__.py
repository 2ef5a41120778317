"""Schedules: automatic tasks at set times, by the database's clock.

``manage.py qcluster`` is django-q2: its scheduler checks its rows every 30 seconds and has its processes call the
functions of ``tasks``, one per entry of ``system_tasks``. A task runs in ``single_flight`` (one holder per task in the
whole database), within a time limit, and records its result. Some of them run the plans that are due (``due``): retry,
escalation and retention policies and recurring interrogations. ``broker`` keeps django-q2's rows in step with the
database's clock and reports heartbeats; ``health`` reports problems.

django-q2 stores a task as a pickle signed with ``SECRET_KEY``. Anyone who knows the key and can write to its tables can
run any code in the cluster, so the key is guarded like the database's password. Every process of one database needs the
same key: tasks signed with another are dropped and logged. ``broker`` passes on only tasks that name a system task's
function, whatever else a row asks for.
"""
