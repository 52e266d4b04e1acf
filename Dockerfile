# Two stages: build with the toolchain, run without it, as a user that owns nothing but its artifacts.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/meterline meterline \
    && mkdir -p /var/lib/meterline/artifacts /etc/meterline \
    && chown -R meterline /var/lib/meterline
COPY --from=build /src/target/release/meterline /usr/local/bin/meterline
COPY config /etc/meterline
USER meterline
WORKDIR /var/lib/meterline
ENTRYPOINT ["meterline"]
CMD ["--help"]
