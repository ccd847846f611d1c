# A server of one classifier: no root, a root file system that may be read-only, the CPU's torch. docs/serving.md
#   docker build -t alexnet .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -p 127.0.0.1:8000:8000 alexnet
#   docker run ... -v "$PWD/runs:/runs:ro" alexnet /runs/first
FROM python:3.12-slim

WORKDIR /app
# torch alone first: a change of the program does not fetch it again.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt ./
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" "$(grep -i '^torch==' constraints.txt)"
COPY pyproject.toml README.md LICENSE ./
COPY alexnet alexnet
RUN pip install --no-cache-dir -c constraints.txt '.[serve]' \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin alexnet

USER 10001
# Nothing is written but what matplotlib keeps of fonts; the tmpfs takes it.
ENV MPLCONFIGDIR=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["alexnet", "serve", "--host", "0.0.0.0"]
CMD ["cifar10"]
