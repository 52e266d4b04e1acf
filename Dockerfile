# Two stages: build with the toolchain, run without it, as a user that owns nothing but its artifacts.
FROM rust:1.95-bookworm AS build
WORKDIR /src
# Only what the program is made of: a change of a test or a page builds nothing again.
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY config config
RUN cargo build --release --locked --bin meterline

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/meterline meterline \
    && mkdir -p /var/lib/meterline/artifacts /etc/meterline \
    && chown -R meterline /var/lib/meterline
COPY --from=build /src/target/release/meterline /usr/local/bin/meterline
COPY config /etc/meterline
USER meterline
WORKDIR /var/lib/meterline
# Where the HTTP API is, with `serve --listen 0.0.0.0:8080`: the default hears nobody but the container itself.
EXPOSE 8080
# No HEALTHCHECK here: what "well" means depends on the command. A worker's and a server's are in docker-compose.yml.
ENTRYPOINT ["meterline"]
CMD ["--help"]
