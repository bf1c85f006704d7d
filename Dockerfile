# The manifests alone, so that the layer with the dependencies changes only when they do.
FROM rust:1.95-bookworm AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -name '*.rs' -delete \
 && find . -name '*.rs' -exec truncate --size 0 {} + \
 && find . \( -name main.rs -o -path '*/src/bin/*.rs' \) -exec sh -c 'echo "fn main() { }" > "$1"' _ {} \;

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY --from=manifests /src .
RUN cargo build --release --locked --package cli
COPY . .
# Newer than what was built from the empty sources.
RUN find crates -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --package cli \
 && strip target/release/racktick

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/racktick /usr/local/bin/racktick
# /var/lib/racktick is for the dashboard's history. Where `racktick setup --credentials` puts keys: a volume that begins here belongs to whom it is mounted for.
RUN for role in admin scheduler worker dashboard operator observer; do \
      install --directory --owner 65532 --group 65532 --mode 0700 "/keys/$role" || exit; \
    done \
 && install --directory --owner 65532 --group 65532 /keys/server \
 && chown 65532:65532 /keys \
 && install --directory --owner 65532 --group 65532 --mode 0700 /var/lib/racktick
USER 65532:65532
ENTRYPOINT ["racktick"]
CMD ["--help"]
