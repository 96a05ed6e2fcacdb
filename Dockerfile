# syntax=docker/dockerfile:1.7
# The one image of all services: `docker build -t rungs .`, for another platform `docker buildx build --platform linux/arm64 .`
# (amd64 and arm64; each is compiled on its own platform, emulated where the machine is another). What was compiled stays in
# cache mounts, so that a change compiles what it touches. The image holds the program and what it loads, nothing else: no
# shell, no package manager; its root may be read-only, and nothing in it runs as root.
FROM rust:1.95.0-bookworm AS build
ARG TARGETARCH
# The commit that `rungs_build_info` names.
ARG RUNGS_COMMIT=unknown
ENV RUNGS_COMMIT=${RUNGS_COMMIT} \
    RUSTUP_TOOLCHAIN=1.95.0 \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=rungs-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=rungs-target-${TARGETARCH},target=/src/target,sharing=locked \
    cargo build --release --locked --bin rungs \
 && scripts/image-root.sh target/release/rungs /image \
 && mkdir /spill

FROM scratch
LABEL org.opencontainers.image.title="Rungs" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image /
# The collector's spill; mount a volume here, which takes this owner over.
COPY --from=build --chown=65532:65532 /spill /var/lib/rungs
USER 65532:65532
EXPOSE 8080 8081 9464
ENTRYPOINT ["/usr/bin/rungs"]
