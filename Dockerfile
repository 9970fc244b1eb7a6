# syntax=docker/dockerfile:1
# The toolchain and the C library of the last stage belong together: both are Debian bookworm.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cargo build --release --locked --bin patchbay

FROM debian:bookworm-slim
# Neither CA certificates nor OpenSSL are needed: the roots are compiled in.
RUN useradd --system --uid 10001 --home-dir /var/lib/patchbay --create-home patchbay \
    && install -d -o patchbay -g patchbay /etc/patchbay /var/lib/patchbay/data
COPY --from=build /build/target/release/patchbay /usr/local/bin/patchbay
COPY --from=build --chown=patchbay:patchbay /build/config/examples/container.toml /etc/patchbay/patchbay.toml
USER patchbay
WORKDIR /var/lib/patchbay
# The database and the master key live here; what is not on a volume is gone with the container.
VOLUME ["/var/lib/patchbay/data"]
EXPOSE 8080
# Exec form: the process is PID 1 and gets SIGTERM itself.
ENTRYPOINT ["/usr/local/bin/patchbay"]
CMD ["serve", "--config", "/etc/patchbay/patchbay.toml"]
