# Progress of a long command: phases with elapsed and expected time, output kept in a file. Sourced.

PHASES=$CACHE/logs/$NAME-phases
mkdir -p "$PHASES"
background=()
ticker=
# The terminal, also for a trap that runs while a phase's output goes into its file.
exec 3>&1

clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# phase TITLE EXPECTED COMMAND...: what the command writes is shown only when it fails.
phase() {
  local title=$1 expected=$2 log began=$SECONDS status=0
  log=$PHASES/$(tr -cs 'a-zA-Z0-9\n' - <<< "$title")
  shift 2
  printf '%6s  %s (expected: %s)\n' "$(clock)" "$title" "$expected"
  if [ -t 1 ]; then
    (while sleep 1; do printf '\r%6s  ... %d s ' "$(clock)" $((SECONDS - began)); done) &
    ticker=$!
  fi
  "$@" > "$log" 2>&1 || status=$?
  end_ticker
  [ "$status" = 0 ] && printf '%6s  done in %d s\n' "$(clock)" $((SECONDS - began)) && return
  tail -n 30 "$log" >&2
  fail "$title: status $status after $((SECONDS - began)) s; the whole output is in $log"
}

# aside COMMAND...: runs it on what the phases leave of the processors, in a process group of its own that ends with
# this script at latest. Where the kernel shares time by session first, niceness within one counts for nothing.
aside() {
  setsid bash -c 'echo 15 > /proc/self/autogroup; exec nice -n 15 "$@"' aside "$@" \
    > "$PHASES/aside-${1##*/}" 2>&1 < /dev/null 3>&- &
  background+=($!)
}

end_ticker() {
  [ -n "$ticker" ] || return 0
  kill "$ticker" 2> /dev/null || true
  wait "$ticker" 2> /dev/null || true
  ticker=
  printf '\r\e[K' >&3
}

# end_progress: for the caller's EXIT trap.
end_progress() {
  local group
  end_ticker
  for group in "${background[@]}"; do kill -TERM -- "-$group" 2> /dev/null || true; done
}

# What takes long is longest when nothing of it is there yet.
expect_rust() { # PROGRAM TIME
  local program=$1
  shift
  [ -x "$ROOT/target/release/$program" ] && echo "seconds per changed crate" || echo "$*"
}
expect_programs() { [ -d "$SEED" ] && echo "1 s" || echo "5 min less what ran beside Rust"; }
