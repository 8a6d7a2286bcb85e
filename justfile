# Lists the recipes.
default:
    @just --list

# Starts the local edge with the storefront and its origin; ARGS go to `selvedge dev`.
dev *ARGS:
    cargo run -- dev {{ARGS}}

# Runs every test; ARGS go to `cargo xtask test`, for example `--only clippy`.
test *ARGS:
    cargo xtask test {{ARGS}}

# Runs the inner loop: format, lints, unit tests.
quick:
    cargo xtask test --quick

# Runs what CI runs.
ci:
    .ci/run

# Runs the benchmarks.
bench *ARGS:
    cargo xtask bench {{ARGS}}

# Builds a policy for a platform.
build TARGET *ARGS:
    cargo run -- build --target {{TARGET}} {{ARGS}}

# Deploys a policy to a platform.
deploy TARGET *ARGS:
    cargo run -- deploy --target {{TARGET}} {{ARGS}}

# Checks a policy file.
check FILE:
    cargo run -- check {{FILE}}

# Builds the documentation and opens it.
docs:
    cargo doc --workspace --no-deps --all-features --open
