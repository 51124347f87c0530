"""Rows: where the input records come from. One file per kind of source, behind one small protocol."""

from __future__ import annotations

from offpeak.rows.source import Opening, RowBatch, RowProblem, RowSource

__all__ = ["Opening", "RowBatch", "RowProblem", "RowSource"]
