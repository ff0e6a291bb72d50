#!/bin/sh
# A compiler that links bookinfo statically, for Cargo's RUSTC_WORKSPACE_WRAPPER: the flags reach that one crate, so
# its dependencies are those that the other programs share. `cargo rustc` would compile most of them once more,
# with the features that bookinfo alone asks for.
case " $* " in
  *" --crate-name bookinfo "*) exec "$@" -C target-feature=+crt-static -C strip=symbols ;;
  *) exec "$@" ;;
esac
