# The server on a CPU. Build: docker build -t redraft .   Run: docker run --rm -p 127.0.0.1:8000:8000 redraft
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src ./src
RUN python -m venv /opt/redraft \
 && /opt/redraft/bin/pip install --no-cache-dir -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu torch \
 && /opt/redraft/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim
COPY --from=build /opt/redraft /opt/redraft
RUN useradd --create-home redraft
USER redraft
ENV PATH=/opt/redraft/bin:$PATH HF_HOME=/home/redraft/.cache/huggingface
EXPOSE 8000
# Inside a container the server has to listen on all addresses; publish the port on 127.0.0.1 or set REDRAFT_API_KEY.
ENTRYPOINT ["redraft", "serve", "--host", "0.0.0.0"]
HEALTHCHECK --start-period=60s CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"
