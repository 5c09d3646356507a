#!/usr/bin/env bash
# Starts the service if it does not run yet, learns the samples, asks three questions, and leaves the service running.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
folder=$("$bin/python" -c 'from service.settings import read_settings; print(read_settings().data_dir.expanduser())')
url=$("$bin/python" -c 'from service.settings import read_settings; s = read_settings(); print(f"http://{s.host}:{s.port}")')
mkdir -p "$folder"

answers() { "$bin/python" -c 'import sys, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=2)' "$1" 2>/dev/null; }

if answers "$url/healthz"; then
    echo "The service runs already on $url."
else
    echo "Starting the service on $url (log: $folder/up.log) …"
    setsid nohup "$bin/sharpwave" up >"$folder/up.log" 2>&1 </dev/null &
    echo $! >"$folder/up.pid"
    for _ in $(seq 120); do
        answers "$url/readyz" && break
        kill -0 "$(cat "$folder/up.pid")" 2>/dev/null || { cat "$folder/up.log"; exit 1; }
        sleep 1
    done
    answers "$url/readyz" || { echo "The service did not become ready:"; tail -20 "$folder/up.log"; exit 1; }
fi

echo
echo "\$ sharpwave ingest samples/documents"
"$bin/sharpwave" ingest samples/documents
while IFS= read -r question; do
    echo
    echo "\$ sharpwave ask \"$question\""
    "$bin/sharpwave" ask "$question"
done <<'QUESTIONS'
On what date was the Morvessin Charter signed?
Who carved the figurehead of the ship that Maren Tolloway commanded?
In what year was the Eiffel Tower completed?
QUESTIONS
echo
echo "The service runs on $url: dashboard at $url/admin, API documentation at $url/docs. \`make stop\` ends it."
