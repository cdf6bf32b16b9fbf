#!/bin/sh
# Runs this case again through everything that computes it here.
exec fxsim fuzz --replay "$(dirname -- "$0")"
