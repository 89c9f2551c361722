# syntax=docker/dockerfile:1
# Versemill with everything it needs; the same image migrates, works and runs commands.
#
#   docker build --tag versemill:cpu .
#   docker build --tag versemill:gpu --build-arg TORCH_INDEX_URL=https://pypi.org/simple .

FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_CONSTRAINT=/build/constraints.txt \
    PATH=/opt/versemill/bin:$PATH
WORKDIR /build
RUN python -m venv /opt/versemill

# From what changes least to what changes most: torch, the other dependencies, the code.
COPY constraints.txt ./
# PyTorch's own index has builds without CUDA; the default index has those with it.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --extra-index-url "$TORCH_INDEX_URL" torch

COPY pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && pip install --requirement requirements.txt

COPY README.md LICENSE ./
COPY toolkit toolkit
COPY plugins plugins
COPY workers workers
COPY alembic alembic
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps .


FROM python:3.11-slim-bookworm

RUN groupadd --gid 10001 versemill \
    && useradd --uid 10001 --gid versemill --create-home --home-dir /var/lib/versemill versemill
COPY --from=build /opt/versemill /opt/versemill

ENV PATH=/opt/versemill/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    VERSEMILL_HOME=/var/lib/versemill
USER versemill
WORKDIR /var/lib/versemill
VOLUME /var/lib/versemill

# Exec form: `versemill worker` becomes the process that gets the signals.
ENTRYPOINT ["versemill"]
CMD ["--help"]
