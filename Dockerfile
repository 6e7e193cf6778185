# The operator and the command line in one image. It needs no writable root file system: give it /tmp and a volume for
# the store (manifests/base/deployment.yaml does). What is installed is locked with hashes in requirements/.

FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/run.txt requirements/
# Without pip in it: nothing is ever installed into a running container. --only-binary: there is no compiler here.
RUN python -m venv --without-pip /opt/homeroom \
 && pip --python /opt/homeroom/bin/python install --no-cache-dir --only-binary=:all: --require-hashes -r requirements/run.txt \
 && pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY crds crds
COPY controller controller
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir dist . \
 && pip --python /opt/homeroom/bin/python install --no-index --no-deps dist/*.whl

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Homeroom" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/homeroom /opt/homeroom
# Compiled files came with the installation; more of them could not be written. USER: kopf asks who it is, and the number
# below (or another, that the cluster chooses) has no name.
# POLARS_MAX_THREADS: as many as the node has cores otherwise, times three, and each of them keeps some memory.
ENV PATH=/opt/homeroom/bin:$PATH HOME=/tmp USER=homeroom PYTHONDONTWRITEBYTECODE=1 POLARS_MAX_THREADS=4
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["homeroom"]
