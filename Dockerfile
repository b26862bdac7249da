# The node in one image: a build stage that resolves wheels only, and a runtime without pip's caches or a compiler.
#   docker build -t oracle-node .
#   docker run --rm oracle-node demo
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN PIP_NO_CACHE_DIR=1 scripts/install.sh /opt/oracle-node

FROM python:3.11-slim
RUN useradd --create-home --uid 1000 oracle
COPY --from=build /opt/oracle-node /opt/oracle-node
ENV PATH=/opt/oracle-node/bin:$PATH PYTHONUNBUFFERED=1
USER oracle
WORKDIR /home/oracle
VOLUME /home/oracle
EXPOSE 8080
ENTRYPOINT ["oracle-node"]
CMD ["--help"]
