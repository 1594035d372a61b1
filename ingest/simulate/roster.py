"""Who is made when: part numbers, batches, products, supplier lots, and the faults that befall the parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingest.simulate.plant import PRODUCTS, Bools, Texts, stream

BATCH_PARTS = (40, 60)  # what a line makes of one kind before QA releases it
TWO_LOTS_SHARE = 0.4  # batches whose raw material runs out half-way
BAD_LOT_EVERY = 6  # one lot of each six consecutive ones is bad: rare, and yet in every folder of some hours


@dataclass(frozen=True, slots=True)
class Roster:
    """The parts of one line in the order in which they enter it; all arrays have one entry a part."""

    part_ids: Texts
    batch_ids: Texts
    products: Texts
    lots: Texts
    bad_lot: Bools

    def __len__(self) -> int:
        return len(self.part_ids)


@dataclass(frozen=True, slots=True)
class Fault:
    """One defect mechanism: which parts it hit, how hard (0..1), and what a person who knew all would book."""

    mechanism: str
    defect_code: str
    hit: Bools
    causes: Texts


def draw_roster(seed: int, line_id: str, prefix: str, count: int) -> Roster:
    """Batches of 40 to 60 parts; a lot of raw material stays within one batch."""
    rng = stream(seed, line_id, "roster")
    batches: list[int] = []
    lots: list[int] = []
    lot = 0
    while len(batches) < count:
        size = int(rng.integers(BATCH_PARTS[0], BATCH_PARTS[1] + 1))
        first = size // 2 if rng.random() < TWO_LOTS_SHARE else size
        number = batches[-1] + 1 if batches else 0
        batches += [number] * size
        lots += [lot] * first + [lot + 1] * (size - first)
        lot = lots[-1] + 1
    batch_of, lot_of = np.array(batches[:count]), np.array(lots[:count])
    bad = _bad_lots(rng, lot + BAD_LOT_EVERY)
    second = _second_product(rng, batches[-1] + 1)
    digit = line_id[-1]
    return Roster(
        part_ids=np.array([f"{prefix}{digit}{number:06d}" for number in range(1, count + 1)]),
        batch_ids=np.array([f"B{digit}{number + 1:03d}" for number in batch_of]),
        products=np.where(second[batch_of], PRODUCTS[1], PRODUCTS[0]),
        lots=np.array([f"S{digit}{number + 1:03d}" for number in lot_of]),
        bad_lot=bad[lot_of],
    )


def _bad_lots(rng: np.random.Generator, count: int) -> Bools:
    bad = np.zeros(count, dtype=np.bool_)
    for start in range(0, count - BAD_LOT_EVERY + 1, BAD_LOT_EVERY):
        bad[start + int(rng.integers(BAD_LOT_EVERY))] = True
    return bad


def _second_product(rng: np.random.Generator, batches: int) -> Bools:
    """One batch of each three consecutive ones is of the second product, the first batch never."""
    second = np.zeros(batches, dtype=np.bool_)
    for start in range(1, batches, 3):
        second[min(start + int(rng.integers(3)), batches - 1)] = True
    return second


def choose(rng: np.random.Generator, names: tuple[str, ...], count: int) -> Texts:
    """One of the names for each part, in blocks that hold each name once: a carousel with its order shuffled."""
    rounds = count // len(names) + 1
    order = np.concatenate([rng.permutation(len(names)) for _ in range(rounds)])[:count]
    return np.asarray(np.array(names)[order], dtype=np.str_)


def joined(faults: tuple[Fault, ...], part: int) -> tuple[str, str, str]:
    """(mechanism, defect_code, cause) of one part; several are separated by `;`, the code is the first one's."""
    found = [fault for fault in faults if fault.hit[part]]
    mechanisms = ";".join(fault.mechanism for fault in found)
    causes = ";".join(dict.fromkeys(str(fault.causes[part]) for fault in found))
    return mechanisms, found[0].defect_code if found else "", causes
