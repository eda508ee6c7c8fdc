# One image for every process: `docker run carillon worker`. What builds it stays behind in the first stage.
FROM python:3.11-slim AS packages

COPY requirements-runtime.lock ./
RUN python -m venv --without-pip /packages \
    && pip --python /packages/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --requirement requirements-runtime.lock

FROM python:3.11-slim

# The number is what Kubernetes goes by, to know that it is not root.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin carillon \
    && pip uninstall --yes --quiet --root-user-action=ignore pip setuptools wheel

ENV PATH=/packages/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

COPY --from=packages /packages /packages
COPY pyproject.toml ./
COPY api ./api
COPY carillon ./carillon
COPY domain ./domain
COPY examples ./examples
COPY graphql_plans ./graphql_plans
COPY infra ./infra
COPY jobs ./jobs
COPY schema ./schema
RUN python -m compileall -q .

USER 10001
ENTRYPOINT ["python", "-m", "api.cli"]
CMD ["--help"]
