# abm in one image: manage.py serve (all in one), or web, worker and link apart. See docs/deploy.md.
# The classic builder builds it too: docker build -t abm .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
COPY requirements.lock ./
# uv's program makes engines that run as processes; in here engines are containers. The packages'
# own tests and translations are left out as well.
RUN python3 -m venv venv \
 && venv/bin/python -m pip install --no-cache-dir --no-compile --require-hashes --no-deps -r requirements.lock \
 && rm -f venv/bin/uv venv/bin/uvx \
 && venv/bin/python -m pip uninstall --yes --quiet setuptools pip \
 && find venv -depth -type d \( -name tests -o -name test \) ! -path "*/django/test" -exec rm -rf {} + \
 && find venv -type f \( -name "*.pyi" -o -name "*.po" -o -name "*.mo" \) -delete \
 && find venv -type d -path "*/locale/*" ! -path "*/locale/en*" -prune -exec rm -rf {} + \
 && python3 -m compileall -q -j 0 venv
COPY . ./
RUN python3 -m compileall -q abm accounts bundled catalog engines hosts jobs manage.py

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
ARG RELEASES_URL=
LABEL org.opencontainers.image.title="abm" \
      org.opencontainers.image.description="One dashboard to run speech engines on every machine you own." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 1000 abm \
 && useradd --uid 1000 --gid abm --home-dir /app/data --no-create-home --shell /usr/sbin/nologin abm \
 && mkdir -p /app/data && chown abm:abm /app/data \
 && printf '#!/bin/sh\nexec python3 -I /app/deploy/entrypoint.py "$@"\n' >/usr/local/bin/abm \
 && chmod 755 /usr/local/bin/abm
COPY --from=build /app /app
WORKDIR /app
# SQLite without WAL: its shared memory is not safe on every file system behind a volume.
ENV DATA_DIR=/app/data HOST=0.0.0.0 PORT=8765 DEFAULT_ENGINE_RUNNER=docker SQLITE_JOURNAL=delete \
    ALIVE_FILE=/tmp/abm-alive RELEASES_URL=${RELEASES_URL} MALLOC_ARENA_MAX=2 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /app/data
EXPOSE 8765
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python3", "-I", "/app/deploy/health.py", "web"]
# It begins as root to give the volume and Docker's socket to abm's user, and becomes that user.
ENTRYPOINT ["abm"]
CMD ["serve"]
