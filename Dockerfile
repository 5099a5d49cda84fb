# Small, non-root, health-checked. Two stages: wheels are built in the first, only installed in the second.
FROM python:3.11-slim AS build
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY fhir_twin fhir_twin
COPY terminology terminology
COPY mappings mappings
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /home/twin twin
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-index --find-links=/wheels fhir-twin && rm -rf /wheels
USER twin
ENV FHIR_TWIN_HOST=0.0.0.0 FHIR_TWIN_PORT=8080 FHIR_TWIN_CACHE=/home/twin/.cache/fhir-twin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Build the terminology index once, so that every start is fast and the file system may be read-only.
RUN fhir-twin code "hypertension" > /dev/null
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=3s --start-period=20s \
    CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=2)"
# FHIR_TWIN_SERVER and FHIR_TWIN_API_KEY come from the environment; off loopback a key is required.
CMD ["fhir-twin", "serve"]
