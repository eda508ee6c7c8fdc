# One image for every process: `docker run carillon worker`.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1
WORKDIR /app

COPY requirements-runtime.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        --require-hashes --requirement requirements-runtime.lock \
    && useradd --system --no-create-home --shell /usr/sbin/nologin carillon

COPY api ./api
COPY carillon ./carillon
COPY domain ./domain
COPY examples ./examples
COPY graphql_plans ./graphql_plans
COPY infra ./infra
COPY jobs ./jobs
COPY schema ./schema
RUN python -m compileall -q .

USER carillon
ENTRYPOINT ["python", "-m", "api.cli"]
CMD ["--help"]
