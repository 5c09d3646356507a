#!/usr/bin/env bash
# Ends the service that `make run` left running.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(.venv/bin/python -c 'from service.settings import read_settings; print(read_settings().data_dir.expanduser())')
if [ -f "$folder/up.pid" ] && kill "$(cat "$folder/up.pid")" 2>/dev/null; then
    while kill -0 "$(cat "$folder/up.pid")" 2>/dev/null; do sleep 0.2; done
    echo "Stopped."
else
    echo "No service that \`make run\` started is running."
fi
rm -f "$folder/up.pid"
