#!/bin/sh
# Print a Python that is new enough: the one asked for, else the first one found.
# Usage: find-python.sh [PYTHON]
new_enough='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

if [ -n "$1" ]; then
    candidates=$1
else
    candidates='python3 python3.13 python3.12 python3.11 python3.14 python'
fi
for candidate in $candidates; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$new_enough" 2>/dev/null; then
        command -v "$candidate"
        exit 0
    fi
done
{
    echo "scrframe needs Python 3.11 or newer with its venv module; none of these is:"
    for candidate in $candidates; do
        echo "    $candidate: $("$candidate" --version 2>&1 || echo 'not found')" | head -n 1
    done
    echo "Install one (on Debian and Ubuntu also python3-venv), or name it: make setup PYTHON=/path/to/python3"
} >&2
exit 1
