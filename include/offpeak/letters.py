"""Letters: every row without an answer written down, with what is needed to look into it and to ask it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.arrays import mask_of, numbers, text
from offpeak.row_files import Grouped, RowFiles, RowsAt
from offpeak.states import Outcome

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from offpeak.joined import At

DEAD_LETTERS = "dead_letters.parquet"
OF_ROW = ("_fingerprint", "_system", "_user", "_problem", "_origin", "_number")
_OF_RESULT = ("_code", "_reason", "_round", "_raw")
_COLUMNS = (
    *("key", "fingerprint", "outcome", "code", "reason", "rounds"),
    *("raw", "system", "user", "origin", "number"),
)
_WHOLE = ("rounds", "number")
_GROUP_ROWS = 4_096
_REPEATED = "the key was already used by an earlier row of this run"


class Letters:
    """Writes dead_letters.parquet into `work` while the rows of a run pass by, in their order.

    `rows` has OF_ROW of the run's rows."""

    def __init__(self, work: Path, rows: RowsAt, results: Sequence[Path], key: str) -> None:
        import pyarrow as pa

        self._key = key
        self._passed = 0
        self._results = len(results)
        self._rows = rows
        folder = work / "letters"
        folder.mkdir()
        ends = [(name, pa.int64() if name == "_round" else pa.string()) for name in _OF_RESULT]
        self._ends = RowFiles(results, pa.schema(ends), folder)
        self._schema = pa.schema([(name, pa.int64() if name in _WHOLE else pa.string()) for name in _COLUMNS])
        self._out = Grouped(work / DEAD_LETTERS, self._schema, _GROUP_ROWS, compression="zstd")

    def __enter__(self) -> Letters:
        return self

    def __exit__(self, *error: object) -> None:
        self._out.__exit__(*error)

    def add(self, rows: pa.Table, at: At) -> None:
        """Write down those of the next rows that have no answer: their key, `_outcome` and `_decision` are given."""
        import numpy as np
        import pyarrow.compute as pc

        other = pc.not_equal(rows["_outcome"], text(Outcome.ANSWERED))
        dead = np.flatnonzero(mask_of(pc.or_kleene(other, rows["_outcome"].is_null()).combine_chunks()))
        first, self._passed = self._passed, self._passed + rows.num_rows
        if len(dead):
            self._out.add(self._told(rows.take(numbers(dead)), first + dead, at.files[dead], at.places[dead]))

    def _told(self, rows: pa.Table, ordinals: np.ndarray, files: np.ndarray, places: np.ndarray) -> pa.Table:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        said = self._rows.take(ordinals)
        ends = self._ends.take(np.where(files < self._results, files, -1), places)
        repeated = pc.equal(rows["_decision"], text("duplicate"))
        reason = pc.if_else(repeated, text(_REPEATED), ends["_reason"])
        columns = {
            "key": rows[self._key],
            "fingerprint": said["_fingerprint"],
            "outcome": rows["_outcome"],
            "code": ends["_code"],
            "reason": pc.coalesce(said["_problem"], reason),
            "rounds": ends["_round"],
            "raw": ends["_raw"],
            "system": said["_system"],
            "user": said["_user"],
            "origin": said["_origin"],
            "number": said["_number"],
        }
        return pa.table([columns[field.name].cast(field.type) for field in self._schema], schema=self._schema)
