"""Searches without a retry until its standard input closes; prints what became of the requests.

    python load_process.py URL [KEY HOST]

With a key it does not look at the certificate. Two clients keep their connections, two open one for each request. Each
waits a little before the next: enough to have a request under way at any moment, and to leave the processes that start
meanwhile the cores that they need.
"""

from __future__ import annotations

import json
import sys
import threading

import httpx

KEEPERS, OPENERS = 2, 2
PAUSE_S = 0.1


def main(url: str, key: str = "", host: str = "") -> None:
    ended = threading.Event()
    failures: list[str] = []
    counts = [0] * (KEEPERS + OPENERS)

    def ask(number: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=None if number < KEEPERS else 0)
        transport = httpx.HTTPTransport(retries=0, limits=limits, verify=not key)
        headers = {"Authorization": f"Bearer {key}", "Host": host} if key else None
        with httpx.Client(base_url=url, timeout=60, transport=transport, headers=headers) as client:
            while not ended.wait(PAUSE_S):
                body = {"query": "Who built the harbour?", "mode": "dense"}
                try:
                    response = client.post("/v1/collections/default/search", json=body)
                    if response.status_code != 200 or not response.json()["hits"]:
                        failures.append(f"{response.status_code}: {response.text[:200]}")
                except httpx.HTTPError as error:
                    failures.append(repr(error))
                counts[number] += 1

    threads = [threading.Thread(target=ask, args=[number]) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({"requests": counts, "failures": failures[:10], "failed": len(failures)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
