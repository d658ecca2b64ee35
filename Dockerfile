# The chat page in a container: docker build -t nextgpt . && docker run -p 7860:7860 nextgpt
# The published preset (a GPU with NVIDIA's container toolkit; `python3 launch.py fetch 7b` has filled checkpoints/7b):
#   docker build --build-arg REQUIREMENTS=requirements-7b.txt --build-arg TORCH_INDEX= -t nextgpt-7b .
#   docker run --gpus all -e PRESET=7b -v "$PWD/checkpoints/7b:/app/checkpoints/7b" -p 7860:7860 nextgpt-7b
# Checked without Docker: hadolint, tests/test_dockerfile.py, and (2026-11-25) these steps in an empty bookworm root: healthy as user 1000 after
# 5 s, one picture made, stopped by SIGTERM within 2 s.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    NEXTGPT_NO_VENV=1 \
    NEXTGPT_DATA_DIR=/data \
    PRESET=nano

RUN useradd --create-home --uid 1000 nextgpt \
    && mkdir -p /app /data \
    && chown nextgpt:nextgpt /app /data
WORKDIR /app

# The packages change rarely and the code often, so they are a layer of their own. torch is the build for CPUs; an empty TORCH_INDEX takes the
# one with CUDA, some 3 GB larger. Where PyTorch's index cannot be reached, pip goes on with its own.
ARG TORCH_INDEX="https://download.pytorch.org/whl/cpu"
ARG REQUIREMENTS=requirements.txt
COPY requirements.txt requirements-7b.txt ./
RUN pip install ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} -r "${REQUIREMENTS}"

COPY --chown=nextgpt:nextgpt checkpoints ./checkpoints
COPY --chown=nextgpt:nextgpt assets ./assets
COPY --chown=nextgpt:nextgpt launch.py pyproject.toml LICENSE NOTICE ./
COPY --chown=nextgpt:nextgpt nextgpt_core ./nextgpt_core
COPY --chown=nextgpt:nextgpt app ./app

USER 1000
VOLUME ["/data"]
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=4)"]

# exec: signals reach Python, so that the container stops at once. launch.py sets OpenMP's threads by the container's own quota of CPUs.
CMD ["sh", "-c", "exec python3 launch.py chat --host 0.0.0.0 --port 7860 --preset \"$PRESET\""]
