"""Where processes of tests are forked from: a server that has imported everything and opened nothing.

A hundred of them start in the time that a hundred interpreters would need to read their modules. There is one such
server for all of a test process, so what it imports stands here.
"""

from __future__ import annotations

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
# Nothing that reads the environment or the terminal when it is imported.
FORKS.set_forkserver_preload(["sentence_transformers", "spacy", "service.app", "tests.killing"])
