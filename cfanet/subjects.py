"""Which tracks of a video show one person: by looks, and never two that are seen at the same time."""

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from cfanet.tracks import Track

_APART = 4.0  # more than any cosine distance: these two are two people


def subjects_of(tracks: Sequence[Track], same: float) -> dict[int, int]:
    """The first track of each track's person, by track index; `same` is the similarity of two pictures of one person.

    Complete linkage: all tracks of a person are that similar to each other. A track without looks stays alone.
    """
    subjects = {track.index: track.index for track in tracks}
    known = [track for track in tracks if track.identity is not None]
    if len(known) < 2:
        return subjects
    looks = np.stack([np.asarray(track.identity, dtype=np.float64) for track in known])
    distance = 1.0 - looks @ looks.T
    frames = [{p.frame for p in track.placements if p.seen} for track in known]
    for one in range(len(known)):
        for two in range(one):
            if frames[one] & frames[two]:
                distance[one, two] = distance[two, one] = _APART
    np.fill_diagonal(distance, 0.0)
    labels = fcluster(linkage(squareform(distance, checks=False), "complete"), 1.0 - same, "distance")
    for label in set(labels.tolist()):
        members = [track.index for track, theirs in zip(known, labels, strict=True) if theirs == label]
        subjects |= dict.fromkeys(members, min(members))
    return subjects
