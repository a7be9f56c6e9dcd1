#!/bin/sh
# Makes sure that git is there, for `engine diff` of revisions and its tests. Installs it where it can (root, apt-get);
# elsewhere it says the one command to type. Silent when there is nothing to do.
set -eu

say() { echo "setup: $*" >&2; }

if command -v git >/dev/null; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    say "git is missing; type: sudo apt-get install git"
    exit 1
fi
{ apt-get update -qq && apt-get install -qq --no-install-recommends git; } >&2 ||
    { say "apt-get could not install it; type: apt-get install git"; exit 1; }
