# The app for a hosted lab, on port 8501.
#
#   docker build -t instruction-vector-explorer .
#   docker run -p 8501:8501 -v models:/models -v runs:/app/cache instruction-vector-explorer
#
# Without an NVIDIA card the CPU build of torch makes the image several GB smaller: give the index that PyTorch's own
# installation page names, --build-arg PIP_ARGS='--extra-index-url ADDRESS'.
# Behind a proxy that changes the Host header, name the public host: -e STREAMLIT_BROWSER_SERVER_ADDRESS=lab.example.org

ARG PYTHON_VERSION=3.11

# Stage 1: the environment. Wheels only, so that no compiler is needed even here.
FROM python:${PYTHON_VERSION}-slim AS build
ARG PIP_ARGS=""
COPY requirements.txt constraints.txt /build/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --disable-pip-version-check --quiet --only-binary :all: ${PIP_ARGS} \
        -r /build/requirements.txt

# Stage 2: the environment and the app, nothing that builds, and a user without rights over either.
FROM python:${PYTHON_VERSION}-slim
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY . /app
RUN useradd --create-home --uid 1000 explorer \
    && mkdir -p /models /app/cache \
    && chown -R explorer /models /app/cache
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/models \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_PORT=8501 \
    STREAMLIT_SERVER_HEADLESS=true \
    STREAMLIT_SERVER_FILE_WATCHER_TYPE=none
USER explorer
# Whom visitors may have this server ask as a judge of answers: nobody, unless hosts are listed (host or host:port, commas).
ENV IVCORE_JUDGE_HOSTS=""
# /models: downloaded models. /app/cache: finished runs; a new named volume starts with the bundled ones.
VOLUME ["/models", "/app/cache"]
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"STREAMLIT_SERVER_PORT\"]}/_stcore/health', timeout=4)"]
CMD ["python", "-m", "ui"]
