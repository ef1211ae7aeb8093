"""A finished run on disk.  Knows no analysis: a request, what is said of its making, and arrays.

1. ``run_key``: a run's name is the SHA-256 of its canonical request and the model's fingerprint.
2. ``Store.draft``: one process at a time computes a run, block by block; finished blocks outlive the process.
3. ``Draft.finish``: the whole run is written to a temporary folder and renamed into place, so that under a run's name
   there is a whole run or none.
4. ``Store.find``: a run is handed out only once every checksum holds.
5. ``Store.keep_note``, ``find_note``: small documents that may be lost without harm.

::

    <own>/<key>/run.json              request, meta, checksum of each file, and of itself
    <own>/<key>/arrays.npz            never pickle
    <own>/drafts/<key>.lock           held (flock) by whoever computes or removes the run
    <own>/drafts/<key>/draft.json     the request, and what was said of its making when it was begun
    <own>/drafts/<key>/blocks/*.block checksum, seconds, npz
    <own>/drafts/<key>/scratch/       files being written
    <own>/notes/<key>.json            a small document and its checksum

What is read may come from anybody: nothing in it is executed, no link is followed, no name in it leads elsewhere.
"""

from __future__ import annotations

from .drafts import Draft
from .folders import Entry, Freed, Store, default_store
from .keys import canonical, run_key
from .notes import Note
from .records import Run

__all__ = ["Draft", "Entry", "Freed", "Note", "Run", "Store", "canonical", "default_store", "run_key"]
