# The bridge in one image; the command says which process it is. See docs/hosting.md.

FROM python:3.12-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# What is installed is what the locks say, file by file, also what builds the wheel. The bridge itself comes last, so that
# a change of its code does not download everything again.
COPY requirements.lock requirements-build.lock /src/
RUN python -m venv /opt/bridge \
    && /opt/bridge/bin/pip install --require-hashes --requirement /src/requirements.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --requirement /src/requirements-build.lock
COPY pyproject.toml README.md LICENSE /src/
COPY bridge /src/bridge
COPY mappings /src/mappings
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /src \
    && /opt/bridge/bin/pip install --no-deps --no-index /wheels/*.whl

FROM python:3.12-slim

ENV PATH=/opt/bridge/bin:$PATH PYTHONUNBUFFERED=1 \
    BRIDGE_HOST=0.0.0.0 BRIDGE_DATA_DIR=/data BRIDGE_MAPPINGS_DIR=/app/mappings
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin bridge \
    && install --directory --owner=bridge --group=bridge --mode=0700 /data
COPY --from=build /opt/bridge /opt/bridge
COPY mappings /app/mappings
WORKDIR /app
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Of the web process; a worker listens nowhere, and compose.yaml switches it off there.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", \"8000\")}/healthz', timeout=4)"]
CMD ["bridge", "web"]
